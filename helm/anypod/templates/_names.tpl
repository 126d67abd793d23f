{{/* The names, labels and images of the release's objects. */}}

{{- define "anypod.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* 40 letters at most: pods add 17, and a label holds 63. */}}
{{- define "anypod.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "anypod.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "anypod.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "anypod.redis.fullname" -}}
{{- include "anypod.fullname" . }}-redis
{{- end -}}

{{- define "anypod.admin.fullname" -}}
{{- include "anypod.fullname" . }}-admin
{{- end -}}

{{- define "anypod.collector.fullname" -}}
{{- include "anypod.fullname" . }}-collector
{{- end -}}

{{- define "anypod.test.fullname" -}}
{{- include "anypod.fullname" . }}-test
{{- end -}}

{{/* What selects pods never changes: neither version nor labels of the user. Called with (list . component). */}}
{{- define "anypod.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "anypod.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "anypod.labels" -}}
{{- $root := index . 0 -}}
{{ include "anypod.podLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Without versions: a new chart alone is no reason to restart a pod, least of all that of Redis. */}}
{{- define "anypod.podLabels" -}}
{{ include "anypod.selector" . }}
app.kubernetes.io/part-of: anypod
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Called with (list image tagDefault). */}}
{{- define "anypod.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "anypod.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "anypod.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}
