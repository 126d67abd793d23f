{{- define "anypod.redis.configuration" -}}
include /etc/redis/secret/password.conf
port 6379
dir /data
# What a replica was told is logged stands in this file; without a volume it dies with the pod.
appendonly yes
appendfsync {{ .Values.redis.appendfsync }}
save ""
maxmemory {{ .Values.redis.maxmemory }}
# Sessions are never forgotten to make room: writes are refused instead.
maxmemory-policy noeviction
{{- with .Values.redis.extraConfig }}
{{ . }}
{{- end }}
{{- end -}}
