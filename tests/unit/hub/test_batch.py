from anypod.hub.delivery import KEPT_BYTES_MAX, KEPT_MAX, Batch, Batches


def test_a_batch_is_encoded_once_however_many_get_it() -> None:
    batch, calls = Batch([b"one", b"two"]), list[int]()

    def joined(frames: object) -> bytes:
        calls.append(1)
        return b"onetwo"

    assert batch.encoded(joined) is batch.encoded(joined)
    assert len(calls) == 1


def test_a_batch_is_kept_for_who_asks_for_the_same() -> None:
    kept, batch = Batches(), Batch([b"x"])
    kept.keep(("s1", "from", "to"), batch)
    assert kept.get(("s1", "from", "to")) is batch
    assert kept.get(("s1", "from", "later")) is None


def test_only_so_many_batches_are_kept_the_oldest_goes_first() -> None:
    kept = Batches()
    for number in range(KEPT_MAX + 1):
        kept.keep(number, Batch([b"x"]))
    assert kept.get(0) is None
    assert kept.get(1) is not None
    assert kept.get(KEPT_MAX) is not None


def test_a_large_batch_is_not_kept() -> None:
    kept = Batches()
    kept.keep(1, Batch([b"x" * KEPT_BYTES_MAX, b"y"]))
    assert kept.get(1) is None
