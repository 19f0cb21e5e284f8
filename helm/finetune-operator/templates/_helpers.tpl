{{- define "finetune-operator.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "finetune-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "finetune-operator.labels" -}}
{{ include "finetune-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* An image's reference. Takes a dict: image (the values), value (their name, for the error), chart. */}}
{{- define "finetune-operator.image" -}}
{{- $missing := printf "%s.repository is required: name the repository that you pushed the image to, such as --set %s.repository=registry.example/finetune-operator" .value .value }}
{{- $repository := required $missing .image.repository }}
{{- if .image.digest }}{{ $repository }}@{{ .image.digest }}{{ else }}{{ $repository }}:{{ .image.tag | default .chart.AppVersion }}{{ end }}
{{- end }}

{{/* What the operator may do: in the whole cluster, or in each namespace that it watches. */}}
{{- define "finetune-operator.rules" -}}
- apiGroups: [finetune.dev]
  resources: [finetunejobs, evaluations, comparisons, finetunedmodels]
  verbs: [get, list, watch]
- apiGroups: [finetune.dev]
  resources: [finetunejobs/status, evaluations/status, comparisons/status, finetunedmodels/status]
  verbs: [patch]
- apiGroups: [finetune.dev]
  resources: [finetunejobs, finetunedmodels, comparisons, evaluations]
  verbs: [create]
- apiGroups: [finetune.dev]
  resources: [finetunejobs, evaluations]
  verbs: [patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch, create]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, create]
{{- if .Values.kueue.enabled }}
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list, watch, patch]
{{- end }}
{{- end }}
