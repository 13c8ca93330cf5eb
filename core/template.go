package core

import "encoding/json"

// NodeKind tells what a Node holds.
type NodeKind string

// The kinds of a Node.
const (
	NodeScalar  NodeKind = "scalar"
	NodeMapping NodeKind = "mapping"
	NodeList    NodeKind = "list"
)

// Node is one value of a template source with its place in a file. It survives
// JSON encoding, so that a Definition can carry its templates.
type Node struct {
	File   string   `json:"file,omitempty"`
	Line   int      `json:"line,omitempty"`   // 1-based; 0 when unknown
	Column int      `json:"column,omitempty"` // 1-based; 0 when unknown
	Kind   NodeKind `json:"kind"`
	// Value is the decoded scalar: string, bool, json.Number-free int64/float64, or nil.
	// After a JSON round trip an int64 stays exact because it is stored as text in Int.
	Value any    `json:"value,omitempty"`
	Int   *int64 `json:"int,omitempty"` // set instead of Value for integers
	// Fields are the entries of a mapping in source order; keys are plain text, never templates.
	Fields []Field `json:"fields,omitempty"`
	// Items are the elements of a list.
	Items []Node `json:"items,omitempty"`
}

// Field is one entry of a mapping Node.
type Field struct {
	Key    string `json:"key"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Value  Node   `json:"value"`
}

// Problem is one thing wrong with a catalog or template file.
type Problem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Path    string `json:"path,omitempty"`    // e.g. plans[0].bind.access
	Message string `json:"message"`           // what is wrong and what was expected
	Hint    string `json:"hint,omitempty"`    // e.g. did you mean "bucket"?
	Warning bool   `json:"warning,omitempty"` // lint only: does not refuse the catalog
}

// TemplateScope says what a template may read, so that a wrong name is refused at load.
type TemplateScope struct {
	// Name is the template's place in the plan, e.g. "provision", "credentials", "dashboardURL".
	Name string
	// Parameters maps the declared parameter names to their JSON type ("string",
	// "integer", "boolean", "array", "object", "number", or "" if unknown).
	Parameters map[string]string
	// OpenParameters is true where the schema allows parameters that it does not declare.
	OpenParameters bool
	// InstanceParameters are those of .instance.parameters (the provision and update schemas' properties).
	InstanceParameters     map[string]string
	OpenInstanceParameters bool
	// InstanceOutputs and BindingOutputs are the names and JSON types of the outputs
	// that the plugin declares; nil where the template must not read them (for
	// example in provision, or dashboardURL), whatever AnyOutputs says; empty where it may but none are declared.
	InstanceOutputs map[string]string
	BindingOutputs  map[string]string
	// AnyOutputs is true when the plugin's description is not known yet: names are then checked at render time only.
	AnyOutputs bool
	// Binding is true where .binding and bindingSecret exist.
	Binding bool
	// Want maps a JSON pointer of the result ("/quota", "" for the whole) to the JSON type it must
	// yield; a template that cannot yield its type is refused. From the plugin's input schema.
	Want map[string]string
}

// SecretSource gives stable secrets to templates (section 4 of the design): made
// once per instance or binding and name, the same ever after.
type SecretSource interface {
	// InstanceSecret gives the instance's secret of that name, of length characters
	// from [A-Za-z0-9] (1..1024); asking again with another length is an error.
	InstanceSecret(name string, length int) (string, error)
	// BindingSecret is the same for the binding.
	BindingSecret(name string, length int) (string, error)
}

// TemplateData is everything a template can read. Maps are JSON-like: string,
// bool, int64, float64, nil, []any, map[string]any.
type TemplateData struct {
	Parameters map[string]any // effective parameters of this verb
	Instance   InstanceData
	Binding    *BindingData // nil outside bind, unbind and credentials
	Service    NameData
	Plan       NameData
	Context    map[string]any // the OSB context object; empty, never nil
	User       map[string]any // originating identity: {platform, ...value}; empty if none was sent
	Secrets    SecretSource
}

// InstanceData is `.instance` in templates.
type InstanceData struct {
	ID         string
	ShortID    string // see ShortID
	Parameters map[string]any
	Outputs    map[string]any
	Context    map[string]any // the context the instance was provisioned or last updated with
}

// BindingData is `.binding` in templates.
type BindingData struct {
	ID         string
	Parameters map[string]any
	Outputs    map[string]any
}

// NameData is `.service` and `.plan` in templates.
type NameData struct{ ID, Name string }

// Template is a compiled template. It is immutable and safe for concurrent use.
type Template interface {
	// Render evaluates the template. The result is JSON-like (see TemplateData); a
	// mapping's null entries are gone. Errors name file and line and are of
	// CodeFailed, since a user cannot cause them except through values: an error
	// that `fail` or `required` raised in the template is CodeInvalid with its text.
	Render(data TemplateData) (any, error)
	// Source is what it was compiled from.
	Source() Node
	// SecretNames lists the names of the stable secrets that it asks for, sorted.
	SecretNames() []string
}

// ParameterTemplate is a Template that can tell where its values come from, so that a
// plugin's complaint about an input can name what the user wrote. core/template's are.
type ParameterTemplate interface {
	Template
	// Parameter gives the JSON pointer into the parameters of what the value at a
	// pointer of the result is made of; ok is false unless it is exactly one.
	Parameter(pointer string) (parameter string, ok bool)
}

// Templates compiles template sources. core/template implements it.
type Templates interface {
	// Compile checks src against scope and compiles it. Problems carry file, line
	// and column of the scalar and a path relative to src ("" is src itself); the
	// template is nil exactly if a problem is not a warning.
	Compile(src Node, scope TemplateScope) (Template, []Problem)
}

// JSONObject decodes a JSON object into JSON-like values (whole numbers as
// int64, others as float64); empty or null input gives an empty map.
func JSONObject(raw json.RawMessage) (map[string]any, error) {
	v, err := JSONValue(raw)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return map[string]any{}, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, Errorf(CodeInvalid, "expected a JSON object")
	}
	return m, nil
}
