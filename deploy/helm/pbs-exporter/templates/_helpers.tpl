{{- define "pbs-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pbs-exporter.fullname" -}}
{{- $name := include "pbs-exporter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "pbs-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pbs-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pbs-exporter.labels" -}}
{{ include "pbs-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pbs-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "pbs-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "pbs-exporter.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{- define "pbs-exporter.secretKey" -}}
{{- ternary .Values.existingSecretKey "token_secret" (not (empty .Values.existingSecret)) }}
{{- end }}

{{/* Refuses values that are missing or contradict each other. */}}
{{- define "pbs-exporter.check" -}}
{{- if gt (int .Values.replicaCount) 1 }}
{{- fail (printf "replicaCount is %d, and more than one is refused: one is enough. Each further replica would send all requests to PBS again and duplicate every series. If the only pod is lost, Kubernetes starts another." (int .Values.replicaCount)) }}
{{- end }}
{{- if not (or .Values.settings.pbs.endpoint .Values.targets) }}
{{- fail "settings.pbs.endpoint is required, or targets: the address of PBS, such as https://pbs.example.com:8007" }}
{{- end }}
{{- if and .Values.settings.pbs.endpoint (not .Values.settings.pbs.token_id) }}
{{- fail "settings.pbs.token_id is required: the ID of the API token, USER@REALM!NAME" }}
{{- end }}
{{- if and .Values.existingSecret .Values.tokenSecret }}
{{- fail "existingSecret and tokenSecret are both set: keep one of them" }}
{{- end }}
{{- if and .Values.settings.pbs.endpoint (not (or .Values.existingSecret .Values.tokenSecret)) }}
{{- fail "existingSecret is required: the name of a Secret that holds the API token's secret under the key of existingSecretKey" }}
{{- end }}
{{- include "pbs-exporter.checkPort" (list . "settings.pbs" .Values.settings.pbs.endpoint) }}
{{- range $name, $target := .Values.targets }}
{{- if not $target.endpoint }}
{{- fail (printf "targets.%s.endpoint is required: the address of PBS, such as https://pbs.example.com:8007" $name) }}
{{- end }}
{{- if not (or $target.token_id $.Values.settings.pbs.token_id) }}
{{- fail (printf "targets.%s.token_id is required, or settings.pbs.token_id: the ID of the API token, USER@REALM!NAME" $name) }}
{{- end }}
{{- if not (or $target.existingSecret $.Values.existingSecret) }}
{{- fail (printf "targets.%s.existingSecret is required, or existingSecret: the name of a Secret that holds the API token's secret under the target's name, or the key of existingSecretKey" $name) }}
{{- end }}
{{- if and $target.caCertificate $target.fingerprint }}
{{- fail (printf "targets.%s has caCertificate and fingerprint: keep one of them" $name) }}
{{- end }}
{{- include "pbs-exporter.checkPort" (list $ (printf "targets.%s" $name) $target.endpoint) }}
{{- end }}
{{- if and .Values.webConfig.existingSecret .Values.settings.exporter.web_config_file }}
{{- fail "webConfig.existingSecret and settings.exporter.web_config_file are both set: keep one of them" }}
{{- end }}
{{- if and .Values.reloader.enabled .Values.webConfig.existingSecret }}
{{- fail "reloader and webConfig.existingSecret are both set: the reloader has neither TLS nor a login; keep one of them" }}
{{- end }}
{{- if and .Values.caCertificate .Values.settings.pbs.fingerprint }}
{{- fail "caCertificate and settings.pbs.fingerprint are both set: keep one of them" }}
{{- end }}
{{- end }}

{{/* Refuses an endpoint that the NetworkPolicy blocks: the values, the endpoint's place in them, and the endpoint. */}}
{{- define "pbs-exporter.checkPort" -}}
{{- $values := (index . 0).Values }}
{{- $endpoint := index . 2 }}
{{- if and $endpoint $values.networkPolicy.enabled }}
{{- $port := $endpoint | regexFind ":[0-9]+/?$" | trimAll ":/" | default (hasPrefix "https:" $endpoint | ternary "443" "80") }}
{{- if not (has $port (toStrings $values.networkPolicy.egressPorts)) }}
{{- fail (printf "%s.endpoint has port %s, which networkPolicy doesn't allow: add it to networkPolicy.egressPorts" (index . 1) $port) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The names of the Secrets of targets, sorted, as a JSON list. Each is mounted whole, in a folder of its name. */}}
{{- define "pbs-exporter.targetSecrets" -}}
{{- $names := list }}
{{- range .Values.targets }}
{{- $names = append $names (default $.Values.existingSecret .existingSecret) }}
{{- end }}
{{- $names | uniq | sortAlpha | toJson }}
{{- end }}

{{/* What the endpoints of a ServiceMonitor have in common. `instance` is a name that a new pod doesn't change. */}}
{{- define "pbs-exporter.endpoint" -}}
interval: {{ .Values.serviceMonitor.interval }}
scrapeTimeout: {{ .Values.serviceMonitor.scrapeTimeout }}
# Our labels `namespace`, `service` and `endpoint` are of PBS; without this they would be renamed to `exported_…`,
# and rules and dashboards would find none of them.
honorLabels: true
{{- if .Values.webConfig.tls }}
scheme: https
{{- end }}
{{- with .Values.serviceMonitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.serviceMonitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
JSON strings, numbers and booleans are valid TOML.
verify_tls is written only if it is on: with "off" beside a fingerprint, the exporter would warn of a contradiction.
*/}}
{{- define "pbs-exporter.settings" -}}
{{- $chart := dict }}
{{- if .Values.settings.pbs.endpoint }}
{{- $_ := set $chart "token_secret_file" (printf "/run/secrets/pbs-exporter/%s" (include "pbs-exporter.secretKey" .)) }}
{{- end }}
{{- if .Values.caCertificate }}
{{- $_ := set $chart "ca_file" "/etc/pbs-exporter/ca.crt" }}
{{- end }}
{{- $exporter := dict "listen_address" ":9101" }}
{{- if .Values.reloader.enabled }}
{{- $_ := set $exporter "lifecycle" true }}
{{- end }}
{{- if .Values.webConfig.existingSecret }}
{{- $_ := set $exporter "web_config_file" "/run/secrets/web-config/web.yml" }}
{{- end }}
{{- $own := dict "pbs" $chart "exporter" $exporter "collectors" dict "filters" dict }}
{{- range $section := list "pbs" "exporter" "collectors" "filters" }}
[{{ $section }}]
{{- range $key, $value := merge (index $own $section) (index $.Values.settings $section) }}
{{- if not (or (kindIs "invalid" $value) (eq ($value | toString) "") (and (eq $key "verify_tls") (not $value))) }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{ end }}
{{- range $name, $target := .Values.targets }}
[targets.{{ $name | toJson }}]
token_secret_file = {{ printf "/run/secrets/targets/%s/%s" (default $.Values.existingSecret $target.existingSecret) (default $name $target.existingSecretKey) | toJson }}
{{- if $target.caCertificate }}
ca_file = {{ printf "/etc/pbs-exporter/target-%s.crt" $name | toJson }}
{{- end }}
{{- range $key, $value := omit $target "existingSecret" "existingSecretKey" "caCertificate" "labels" "collectors" "filters" }}
{{- if not (or (kindIs "invalid" $value) (eq ($value | toString) "")) }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{- range $section := list "labels" "collectors" "filters" }}
{{- with index $target $section }}
[targets.{{ $name | toJson }}.{{ $section }}]
{{- range $key, $value := . }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{ end }}
{{- end }}
