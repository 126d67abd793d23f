{{/*
The timing, as annotations of balancers. A balancer probes the readiness of the pod itself, and has no sticky sessions. Called with the root.
*/}}

{{- define "anypod.alb.attributes" -}}
client_keep_alive.seconds: {{ (include "anypod.timing" . | fromYaml).clientKeepAliveSeconds | quote }}
idle_timeout.timeout_seconds: {{ include "anypod.idleSeconds" (list . "alb") | quote }}
{{- end -}}

{{- /* In turn: a pod that has died has the fewest requests under way, and by these it would be given all that are new. */ -}}
{{- define "anypod.alb.targetAttributes" -}}
deregistration_delay.timeout_seconds: {{ (include "anypod.timing" . | fromYaml).deregistrationDelaySeconds | quote }}
load_balancing.algorithm.type: round_robin
stickiness.enabled: "false"
{{- end -}}

{{- /* Its controller serves v1 from 3.0 on, and calls v1beta1 deprecated since; a chart that is rendered without a cluster takes what both serve. */ -}}
{{- define "anypod.alb.gatewayVersion" -}}
gateway.k8s.aws/{{ .Capabilities.APIVersions.Has "gateway.k8s.aws/v1/LoadBalancerConfiguration" | ternary "v1" "v1beta1" }}
{{- end -}}

{{- define "anypod.nlb.targetAttributes" -}}
deregistration_delay.connection_termination.enabled: "false"
deregistration_delay.timeout_seconds: {{ (include "anypod.timing" . | fromYaml).deregistrationDelaySeconds | quote }}
stickiness.enabled: "false"
{{- end -}}

{{/* key=value,key=value. Called with a YAML object. */}}
{{- define "anypod.attributes.line" -}}
{{- $pairs := list -}}
{{- range $key, $value := fromYaml . -}}{{- $pairs = printf "%s=%s" $key $value | append $pairs -}}{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{/* - key: …, value: … of the Gateway API's configurations. Called with a YAML object. */}}
{{- define "anypod.attributes.list" -}}
{{- range $key, $value := fromYaml . -}}
- key: {{ $key }}
  value: {{ $value | quote }}
{{ end }}
{{- end -}}

{{- define "anypod.nlb.annotations" -}}
{{- $prefix := "service.beta.kubernetes.io/aws-load-balancer" -}}
{{ $prefix }}-scheme: {{ .Values.service.scheme }}
{{ $prefix }}-nlb-target-type: ip
{{ $prefix }}-target-group-attributes: {{ include "anypod.attributes.line" (include "anypod.nlb.targetAttributes" .) | quote }}
{{ $prefix }}-listener-attributes.TCP-{{ .Values.service.port }}: tcp.idle_timeout.seconds={{ include "anypod.idleSeconds" (list . "nlb") }}
{{ $prefix }}-healthcheck-protocol: http
{{ $prefix }}-healthcheck-port: "9000"
{{ $prefix }}-healthcheck-path: /healthz/ready
{{ $prefix }}-healthcheck-success-codes: "200"
{{ $prefix }}-healthcheck-interval: "5"
{{ $prefix }}-healthcheck-timeout: "2"
{{ $prefix }}-healthcheck-healthy-threshold: "2"
{{ $prefix }}-healthcheck-unhealthy-threshold: "2"
{{- end -}}

{{- define "anypod.ingress.annotations.none" -}}
{}
{{- end -}}

{{- define "anypod.ingress.annotations.alb" -}}
{{- $alb := .Values.ingress.alb -}}
{{- $prefix := "alb.ingress.kubernetes.io" -}}
{{ $prefix }}/scheme: {{ $alb.scheme }}
{{ $prefix }}/target-type: ip
{{ $prefix }}/load-balancer-attributes: {{ include "anypod.attributes.line" (include "anypod.alb.attributes" .) | quote }}
{{ $prefix }}/target-group-attributes: {{ include "anypod.attributes.line" (include "anypod.alb.targetAttributes" .) | quote }}
{{ $prefix }}/healthcheck-protocol: HTTP
{{ $prefix }}/healthcheck-port: "9000"
{{ $prefix }}/healthcheck-path: /healthz/ready
{{ $prefix }}/success-codes: "200"
{{ $prefix }}/healthcheck-interval-seconds: "5"
{{ $prefix }}/healthcheck-timeout-seconds: "2"
{{ $prefix }}/healthy-threshold-count: "2"
{{ $prefix }}/unhealthy-threshold-count: "2"
{{- if $alb.certificateArn }}
{{ $prefix }}/listen-ports: '[{"HTTP": 80}, {"HTTPS": 443}]'
{{ $prefix }}/ssl-redirect: "443"
{{ $prefix }}/certificate-arn: {{ $alb.certificateArn }}
{{- else }}
{{ $prefix }}/listen-ports: '[{"HTTP": 80}]'
{{- end }}
{{- with $alb.inboundCidrs }}
{{ $prefix }}/inbound-cidrs: {{ join "," . | quote }}
{{- end }}
{{- end -}}

{{/* Buffering off: a frame is worth its delivery at once. The body is checked by the service, which knows its limit. */}}
{{- define "anypod.ingress.annotations.nginx" -}}
{{- $idle := include "anypod.idleSeconds" (list . "nginx") -}}
{{- $prefix := "nginx.ingress.kubernetes.io" -}}
{{ $prefix }}/proxy-read-timeout: {{ $idle | quote }}
{{ $prefix }}/proxy-send-timeout: {{ $idle | quote }}
{{ $prefix }}/proxy-buffering: "off"
{{ $prefix }}/proxy-request-buffering: "off"
{{ $prefix }}/proxy-body-size: "0"
{{ $prefix }}/load-balance: ewma
{{- end -}}

{{/* Its timeouts of clients and of tunnels stand in the ConfigMap of the controller: see NOTES. */}}
{{- define "anypod.ingress.annotations.haproxy" -}}
{{- $prefix := "haproxy.org" -}}
{{ $prefix }}/timeout-server: {{ include "anypod.idleSeconds" (list . "haproxy") }}s
{{ $prefix }}/load-balance: leastconn
{{ $prefix }}/check: "enabled"
{{- end -}}

{{/* Its timeouts stand in the configuration of its entry points: see NOTES. */}}
{{- define "anypod.ingress.annotations.traefik" -}}
traefik.ingress.kubernetes.io/router.entrypoints: {{ .Values.ingress.tls | empty | ternary "web" "websecure" }}
{{- end -}}
