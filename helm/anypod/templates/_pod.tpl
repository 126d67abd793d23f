{{/* What every pod of the release has in common. */}}

{{/* As the restricted Pod Security Standard asks, and a read-only root file system. */}}
{{- define "anypod.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Called with (list user group). */}}
{{- define "anypod.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ index . 0 | int64 }}
runAsGroup: {{ index . 1 | int64 }}
fsGroup: {{ index . 1 | int64 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The secrets of the service, as files: the sources of one volume. Empty: there are none. */}}
{{- define "anypod.secretSources" -}}
{{- with include "anypod.authSecretName" . }}
- secret:
    name: {{ . }}
    items:
      - key: {{ include "anypod.authSecretKey" $ }}
        path: jwt-secret
{{- /* Apart, because it is there during a rotation alone, and may come without a restart. */}}
- secret:
    name: {{ . }}
    optional: true
    items:
      - key: {{ include "anypod.authSecretPreviousKey" $ }}
        path: jwt-previous-secret
{{- end }}
{{- with include "anypod.redisSecretItems" . | fromYaml }}
- secret:
    name: {{ .name }}
    items:
      {{- range $path, $key := .items }}
      - key: {{ $key }}
        path: {{ $path }}
      {{- end }}
{{- end }}
{{- $tls := .Values.externalRedis.tls }}
{{- if $tls.existingSecret }}
- secret:
    name: {{ $tls.existingSecret }}
    items:
      - key: ca.crt
        path: redis-ca.crt
      {{- if $tls.clientCertificate }}
      - key: tls.crt
        path: redis-tls.crt
      - key: tls.key
        path: redis-tls.key
      {{- end }}
{{- end }}
{{- end -}}

{{- define "anypod.secretsVolume" -}}
{{- with include "anypod.secretSources" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "anypod.secretsMount" -}}
{{- if include "anypod.secretSources" . }}
- name: secrets
  mountPath: /run/secrets/anypod
  readOnly: true
{{- end }}
{{- end -}}

{{/* Empty: credentials are checked with the keys of issuers alone. */}}
{{- define "anypod.authSecretName" -}}
{{- if .Values.auth.existingSecret -}}
{{- .Values.auth.existingSecret -}}
{{- else if .Values.auth.secret -}}
{{- include "anypod.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "anypod.authSecretKey" -}}
{{- empty .Values.auth.existingSecret | ternary "jwt-secret" .Values.auth.existingSecretKey -}}
{{- end -}}

{{- define "anypod.authSecretPreviousKey" -}}
{{- empty .Values.auth.existingSecret | ternary "jwt-previous-secret" .Values.auth.existingSecretPreviousKey -}}
{{- end -}}

{{/* The Secret with what Redis asks for, and which of its keys become which files; empty: it asks for nothing. */}}
{{- define "anypod.redisSecretItems" -}}
{{- $external := .Values.externalRedis -}}
{{- $items := dict -}}
{{- $name := include "anypod.fullname" . -}}
{{- if .Values.redis.enabled -}}
{{- $name = include "anypod.redis.fullname" . -}}
{{- $_ := set $items "redis-password" "password" -}}
{{- else if $external.existingSecret -}}
{{- $name = $external.existingSecret -}}
{{- with $external.existingSecretKeys -}}
{{- if .password -}}{{- $_ := set $items "redis-password" .password -}}{{- end -}}
{{- if .sentinelPassword -}}{{- $_ := set $items "redis-sentinel-password" .sentinelPassword -}}{{- end -}}
{{- if .url -}}{{- $_ := set $items "redis-url" .url -}}{{- end -}}
{{- end -}}
{{- else -}}
{{- if $external.password -}}{{- $_ := set $items "redis-password" "redis-password" -}}{{- end -}}
{{- if $external.sentinelPassword -}}{{- $_ := set $items "redis-sentinel-password" "redis-sentinel-password" -}}{{- end -}}
{{- end -}}
{{- if $items -}}
name: {{ $name }}
items: {{ toJson $items }}
{{- end -}}
{{- end -}}
