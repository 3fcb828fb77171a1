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
{{- if not .Values.settings.pbs.endpoint }}
{{- fail "settings.pbs.endpoint is required: the address of PBS, such as https://pbs.example.com:8007" }}
{{- end }}
{{- if not .Values.settings.pbs.token_id }}
{{- fail "settings.pbs.token_id is required: the ID of the API token, USER@REALM!NAME" }}
{{- end }}
{{- if and .Values.existingSecret .Values.tokenSecret }}
{{- fail "existingSecret and tokenSecret are both set: keep one of them" }}
{{- end }}
{{- if not (or .Values.existingSecret .Values.tokenSecret) }}
{{- fail "existingSecret is required: the name of a Secret that holds the API token's secret under the key of existingSecretKey" }}
{{- end }}
{{- $port := .Values.settings.pbs.endpoint | regexFind ":[0-9]+/?$" | trimAll ":/" | default (hasPrefix "https:" .Values.settings.pbs.endpoint | ternary "443" "80") }}
{{- if and .Values.networkPolicy.enabled (not (has $port (toStrings .Values.networkPolicy.egressPorts))) }}
{{- fail (printf "settings.pbs.endpoint has port %s, which networkPolicy doesn't allow: add it to networkPolicy.egressPorts" $port) }}
{{- end }}
{{- if and .Values.caCertificate .Values.settings.pbs.fingerprint }}
{{- fail "caCertificate and settings.pbs.fingerprint are both set: keep one of them" }}
{{- end }}
{{- end }}

{{/*
JSON strings, numbers and booleans are valid TOML.
verify_tls is written only if it is on: with "off" beside a fingerprint, the exporter would warn of a contradiction.
*/}}
{{- define "pbs-exporter.settings" -}}
{{- $chart := dict "token_secret_file" (printf "/run/secrets/pbs-exporter/%s" (include "pbs-exporter.secretKey" .)) }}
{{- if .Values.caCertificate }}
{{- $_ := set $chart "ca_file" "/etc/pbs-exporter/ca.crt" }}
{{- end }}
{{- $own := dict "pbs" $chart "exporter" (dict "listen_address" ":9101") "collectors" dict "filters" dict }}
{{- range $section := list "pbs" "exporter" "collectors" "filters" }}
[{{ $section }}]
{{- range $key, $value := merge (index $own $section) (index $.Values.settings $section) }}
{{- if not (or (kindIs "invalid" $value) (eq ($value | toString) "") (and (eq $key "verify_tls") (not $value))) }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{ end }}
{{- end }}
