{{- define "sidegate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "sidegate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sidegate.labels" -}}
{{ include "sidegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The port of the health listener, which the configuration says. */}}
{{- define "sidegate.healthPort" -}}
{{- $config := fromYaml .Values.config }}
{{- $address := dig "health" "address" "" $config }}
{{- if or (not $address) (hasPrefix "127." $address) }}
{{- fail "config: the probes need a health listener that the kubelet reaches, such as `health: { address: 0.0.0.0:9902 }`" }}
{{- end }}
{{- regexFind "[0-9]+$" $address }}
{{- end }}
