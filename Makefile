.DEFAULT_GOAL := help
help: ; @echo "targets follow"
