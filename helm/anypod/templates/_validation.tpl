{{/* What no value can tell alone. Each message names the values, and what to do; all of them are told at once. */}}

{{- define "anypod.validate" -}}
{{- $messages := concat
  (include "anypod.validate.auth" . | fromYamlArray)
  (include "anypod.validate.redis" . | fromYamlArray)
  (include "anypod.validate.timing" . | fromYamlArray)
  (include "anypod.validate.doors" . | fromYamlArray)
  (include "anypod.validate.scaling" . | fromYamlArray) -}}
{{- if $messages -}}
{{- printf "\n\nThe values cannot be used:\n- %s\n" (join "\n- " $messages) | fail -}}
{{- end -}}
{{- end -}}

{{- define "anypod.validate.auth" -}}
{{- $messages := list -}}
{{- $auth := .Values.auth -}}
{{- $known := list "anypod-development-secret-known-to-everybody" -}}
{{- if and $auth.secret $auth.existingSecret -}}
{{- $messages = append $messages "auth.secret and auth.existingSecret are both set: unset one of them." -}}
{{- else if $auth.secret -}}
{{- if lt (len $auth.secret) 32 -}}
{{- $messages = append $messages "auth.secret should have at least 32 bytes: `openssl rand -base64 48` makes one." -}}
{{- else if or (has $auth.secret $known) (le (len (uniq (splitList "" $auth.secret))) 8) -}}
{{- $messages = append $messages "auth.secret can be guessed: `openssl rand -base64 48` makes one that cannot." -}}
{{- end -}}
{{- else if not (or $auth.existingSecret $auth.jwksUrls) -}}
{{- $messages = append $messages "auth.secret is empty, and there is no default: set auth.secret (`openssl rand -base64 48` makes one), auth.existingSecret or auth.jwksUrls." -}}
{{- end -}}
{{- if $auth.previousSecret -}}
{{- if not $auth.secret -}}
{{- $messages = append $messages "auth.previousSecret signs nothing: set auth.secret beside it, or put it into auth.existingSecret." -}}
{{- else if lt (len $auth.previousSecret) 32 -}}
{{- $messages = append $messages "auth.previousSecret should have at least 32 bytes." -}}
{{- end -}}
{{- end -}}
{{- toYaml $messages -}}
{{- end -}}

{{- define "anypod.validate.redis" -}}
{{- $messages := list -}}
{{- $external := .Values.externalRedis -}}
{{- $isNamed := or $external.url (and $external.existingSecret $external.existingSecretKeys.url) -}}
{{- if and .Values.redis.enabled $isNamed -}}
{{- $messages = append $messages "redis.enabled=true and externalRedis are both set, and sessions live in one: set redis.enabled=false to use yours." -}}
{{- else if not (or .Values.redis.enabled $isNamed) -}}
{{- $messages = append $messages "redis.enabled=false leaves no Redis: set externalRedis.url, or externalRedis.existingSecret with existingSecretKeys.url." -}}
{{- end -}}
{{- if regexMatch "://[^/@]*:[^/@]*@" $external.url -}}
{{- $messages = append $messages "externalRedis.url holds a password, which every reader of the ConfigMap would see: set externalRedis.password or externalRedis.existingSecret." -}}
{{- end -}}
{{- if and $external.existingSecret (or $external.password $external.sentinelPassword) -}}
{{- $messages = append $messages "externalRedis.existingSecret and a password beside it are both set: unset one of them." -}}
{{- end -}}
{{- if and $external.tls.existingSecret (not (hasPrefix "rediss" $external.url)) (not $external.existingSecretKeys.url) -}}
{{- $messages = append $messages "externalRedis.tls.existingSecret is set, but externalRedis.url does not begin with rediss, which is what asks for TLS." -}}
{{- end -}}
{{- toYaml $messages -}}
{{- end -}}

{{- define "anypod.validate.timing" -}}
{{- $messages := list -}}
{{- $timing := include "anypod.timing" . | fromYaml -}}
{{- $kinds := list -}}
{{- range .Values.proxies -}}
{{- if and (has .kind $kinds) (ne .kind "other") -}}
{{- $messages = printf "proxies names %s twice: give each kind once, with the shortest of its idle timeouts." .kind | append $messages -}}
{{- end -}}
{{- $kinds = append $kinds .kind -}}
{{- end -}}
{{- if and .Values.proxies (gt (int64 .Values.heartbeatMs) (int64 $timing.heartbeatMsMax)) -}}
{{- $messages = printf "heartbeatMs=%d is above the %s that the shortest idle timeout in proxies allows (a quarter of it): lower it, or set 0 to have it derived." (int64 .Values.heartbeatMs) $timing.heartbeatMsMax | append $messages -}}
{{- end -}}
{{- $min := include "anypod.timing.graceSecondsMin" . -}}
{{- if lt (int64 $timing.graceSeconds) (int64 $min) -}}
{{- $messages = printf "terminationGracePeriodSeconds=%s ends before the drain does: set at least %s (%s for the proxies to notice, drain.windowSeconds=%d, store.appendDeadlineSeconds=%d and 7 to end), or 0 to have it derived." $timing.graceSeconds $min $timing.noticeSeconds (int64 .Values.drain.windowSeconds) (int64 .Values.store.appendDeadlineSeconds) | append $messages -}}
{{- end -}}
{{- toYaml $messages -}}
{{- end -}}

{{- define "anypod.validate.doors" -}}
{{- $messages := list -}}
{{- $ingress := .Values.ingress -}}
{{- if and $ingress.enabled (ne $ingress.preset "none") (not (include "anypod.idleSeconds" (list . $ingress.preset))) -}}
{{- $messages = printf "ingress.preset=%s needs its idle timeout: add {kind: %s, idleTimeoutSeconds: 60} to proxies." $ingress.preset $ingress.preset | append $messages -}}
{{- end -}}
{{- if and $ingress.enabled (eq $ingress.preset "none") (not $ingress.className) -}}
{{- $messages = append $messages "ingress.enabled=true names no controller: set ingress.preset or ingress.className." -}}
{{- end -}}
{{- $gateway := .Values.gateway -}}
{{- if and $gateway.enabled (not $gateway.parentRefs) (not (and $gateway.aws.enabled $gateway.aws.createGateway)) -}}
{{- $messages = append $messages "gateway.enabled=true joins no gateway: set gateway.parentRefs, or gateway.aws.enabled and gateway.aws.createGateway." -}}
{{- end -}}
{{- if and $gateway.enabled $gateway.aws.enabled (not (include "anypod.idleSeconds" (list . "alb"))) -}}
{{- $messages = append $messages "gateway.aws.enabled=true needs the ALB's idle timeout: add {kind: alb, idleTimeoutSeconds: 60} to proxies." -}}
{{- end -}}
{{- if and (eq .Values.service.type "LoadBalancer") (not .Values.proxies) -}}
{{- $messages = append $messages "service.type=LoadBalancer needs its idle timeout: add {kind: nlb, idleTimeoutSeconds: 350}, or {kind: other, …}, to proxies." -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.clients) -}}
{{- $messages = append $messages "networkPolicy.enabled=true lets no client in: set networkPolicy.clients to the peers that clients come through." -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.redis.enabled) (not .Values.networkPolicy.redis) -}}
{{- $messages = append $messages "networkPolicy.enabled=true lets the service reach no Redis: set networkPolicy.redis to the peers that are yours." -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled .Values.auth.jwksUrls (not .Values.networkPolicy.issuers) -}}
{{- $messages = append $messages "networkPolicy.enabled=true lets the service reach no issuer of auth.jwksUrls: set networkPolicy.issuers." -}}
{{- end -}}
{{- toYaml $messages -}}
{{- end -}}

{{- define "anypod.validate.scaling" -}}
{{- $messages := list -}}
{{- $scaling := .Values.autoscaling -}}
{{- if $scaling.enabled -}}
{{- if gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas) -}}
{{- $messages = printf "autoscaling.minReplicas=%d is above autoscaling.maxReplicas=%d." (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas) | append $messages -}}
{{- end -}}
{{- if not (or $scaling.cpuPercent $scaling.connectionsPerPod) -}}
{{- $messages = append $messages "autoscaling.enabled=true has nothing to look at: set autoscaling.cpuPercent or autoscaling.connectionsPerPod." -}}
{{- end -}}
{{- if and $scaling.cpuPercent (not (dig "requests" "cpu" "" .Values.resources)) -}}
{{- $messages = append $messages "autoscaling.cpuPercent is a share of resources.requests.cpu, which is not set." -}}
{{- end -}}
{{- if and (eq $scaling.engine "keda") $scaling.connectionsPerPod (not $scaling.keda.prometheusAddress) -}}
{{- $messages = append $messages "autoscaling.connectionsPerPod with autoscaling.engine=keda needs autoscaling.keda.prometheusAddress." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.otelCollector.enabled (not .Values.otelCollector.endpoint) -}}
{{- $messages = append $messages "otelCollector.enabled=true exports no traces: set otelCollector.endpoint." -}}
{{- end -}}
{{- toYaml $messages -}}
{{- end -}}
