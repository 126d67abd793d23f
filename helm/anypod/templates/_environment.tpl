{{/* The settings of the service, as environment variables. Secrets are files, of which only the paths stand here. */}}
{{- define "anypod.environment" -}}
{{- $timing := include "anypod.timing" . | fromYaml -}}
{{- $secrets := "/run/secrets/anypod" -}}
{{- $proxies := list -}}
{{- range .Values.proxies -}}
{{- $proxies = printf "%s:%d000" .kind (int64 .idleTimeoutSeconds) | append $proxies -}}
{{- end -}}
ANYPOD_PROXIES: {{ join "," $proxies | quote }}
{{- if .Values.heartbeatMs }}
ANYPOD_HEARTBEAT_MS_MAX: {{ int64 .Values.heartbeatMs | quote }}
{{- end }}
ANYPOD_DRAIN_S: {{ int64 .Values.drain.windowSeconds | quote }}
ANYPOD_APPEND_DEADLINE_S: {{ int64 .Values.store.appendDeadlineSeconds | quote }}
{{- if include "anypod.hasSleep" . }}
ANYPOD_READY_WAIT_S: "0"
ANYPOD_GRACE_S: {{ $timing.leaveSeconds | quote }}
{{- else }}
ANYPOD_READY_WAIT_S: {{ $timing.noticeSeconds | quote }}
ANYPOD_GRACE_S: {{ $timing.graceSeconds | quote }}
{{- end }}
{{- if not (hasKey .Values.settings "max_connection_age_s") }}
ANYPOD_MAX_CONNECTION_AGE_S: {{ $timing.connectionAgeSeconds | quote }}
{{- end }}
{{- with .Values.auth }}
{{- if or .secret .existingSecret }}
ANYPOD_JWT_SECRET_FILE: {{ $secrets }}/jwt-secret
ANYPOD_JWT_PREVIOUS_SECRET_FILE: {{ $secrets }}/jwt-previous-secret
{{- end }}
{{- with .jwksUrls }}
ANYPOD_JWKS_URLS: {{ join "," . | quote }}
{{- end }}
{{- with .issuer }}
ANYPOD_JWT_ISSUER: {{ . | quote }}
{{- end }}
ANYPOD_JWT_AUDIENCE: {{ .audience | quote }}
{{- with .algorithms }}
ANYPOD_JWT_ALGORITHMS: {{ join "," . | quote }}
{{- end }}
{{- with .origins }}
ANYPOD_ORIGINS: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- $items := (include "anypod.redisSecretItems" . | fromYaml).items | default dict }}
{{- if .Values.redis.enabled }}
ANYPOD_REDIS_URL: redis://{{ include "anypod.redis.fullname" . }}:6379/0
{{- else if not (hasKey $items "redis-url") }}
ANYPOD_REDIS_URL: {{ .Values.externalRedis.url | quote }}
{{- end }}
{{- range $path := keys $items | sortAlpha }}
ANYPOD_{{ $path | upper | replace "-" "_" }}_FILE: {{ $secrets }}/{{ $path }}
{{- end }}
{{- with .Values.externalRedis.tls }}
{{- if .existingSecret }}
ANYPOD_REDIS_TLS_CA_FILE: {{ $secrets }}/redis-ca.crt
{{- if .clientCertificate }}
ANYPOD_REDIS_TLS_CERT_FILE: {{ $secrets }}/redis-tls.crt
ANYPOD_REDIS_TLS_KEY_FILE: {{ $secrets }}/redis-tls.key
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
ANYPOD_{{ upper $name }}: {{ include "anypod.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* A setting's value as the service reads it: numbers without an exponent, lists and objects as it parses them. */}}
{{- define "anypod.text" -}}
{{- if kindIs "float64" . -}}
{{- eq . (floor .) | ternary (int64 . | toString) (toString .) -}}
{{- else if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "map" . -}}
{{- toJson . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}
