{{/*
Every duration, derived from the proxies on the path, the drain window and the store's patience, by the formulas of the service's
core/timing.py; a test compares the two. Whole numbers as text: templates print large numbers with an exponent.
*/}}

{{- define "anypod.timing" -}}
{{- /* The same numbers, by the same names, and why they are what they are, in core/timing.py. */ -}}
{{- $noticeSeconds := dict "alb" 15 "nlb" 120 "nginx" 5 "haproxy" 5 "traefik" 5 "other" 15 -}}
{{- $noticeSecondsMin := 5 -}}
{{- $heartbeatMsMax := 25000 -}}
{{- $exitSeconds := 2 -}}
{{- $graceSlackSeconds := 5 -}}
{{- $connectionAgeSeconds := 3000 -}}
{{- $connectionAgeJitterPercent := 20 -}}
{{- $gracesPerAge := 10 -}}
{{- $clientKeepAliveSeconds := 3600 -}}

{{- $notice := $noticeSecondsMin -}}
{{- $heartbeat := $heartbeatMsMax -}}
{{- range .Values.proxies -}}
{{- $notice = max $notice (get $noticeSeconds .kind) -}}
{{- $heartbeat = min $heartbeat (div (mul (int64 .idleTimeoutSeconds) 1000) 4) -}}
{{- end -}}
{{- $leave := add .Values.drain.windowSeconds .Values.store.appendDeadlineSeconds $exitSeconds $graceSlackSeconds -}}
{{- if .Values.terminationGracePeriodSeconds -}}
{{- $leave = sub .Values.terminationGracePeriodSeconds $notice -}}
{{- end -}}
{{- $grace := add $notice $leave -}}
{{- $age := max $connectionAgeSeconds (mul $grace $gracesPerAge) -}}
{{- $oldest := div (add (mul $age (add 100 $connectionAgeJitterPercent)) 99) 100 -}}
noticeSeconds: {{ $notice | quote }}
leaveSeconds: {{ $leave | quote }}
graceSeconds: {{ $grace | quote }}
deregistrationDelaySeconds: {{ $grace | quote }}
connectionAgeSeconds: {{ $age | quote }}
clientKeepAliveSeconds: {{ max $clientKeepAliveSeconds $oldest | quote }}
heartbeatMsMax: {{ $heartbeat | quote }}
{{- end -}}

{{/* What must be given if a grace period is given at all. */}}
{{- define "anypod.timing.graceSecondsMin" -}}
{{- $derived := deepCopy .Values -}}
{{- $_ := set $derived "terminationGracePeriodSeconds" 0 -}}
{{- (include "anypod.timing" (dict "Values" $derived) | fromYaml).graceSeconds -}}
{{- end -}}

{{/* The idle timeout that was declared for a proxy, in seconds; empty: none of that kind. Called with (list . kind). */}}
{{- define "anypod.idleSeconds" -}}
{{- $kind := index . 1 -}}
{{- range (index . 0).Values.proxies -}}
{{- if eq .kind $kind -}}{{- int64 .idleTimeoutSeconds -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Kubernetes knows `sleep` in preStop from 1.30 on. Before that the service waits by itself, not ready but serving. */}}
{{- define "anypod.hasSleep" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version -}}true{{- end -}}
{{- end -}}
