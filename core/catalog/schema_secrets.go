package catalog

import "github.com/chandler-broker/chandler/core"

// WithoutSecrets implements core.Schema.
func (s *schema) WithoutSecrets(params map[string]any) map[string]any {
	if s.root == nil {
		return core.CopyJSON(orEmpty(params)).(map[string]any)
	}
	var none []string
	kept, _ := s.strip([]map[string]any{s.root}, orEmpty(params), &none).(map[string]any)
	return orEmpty(kept)
}

// Secrets implements core.Schema.
func (s *schema) Secrets(params map[string]any) []string {
	var secrets []string
	if s.root != nil {
		s.strip([]map[string]any{s.root}, orEmpty(params), &secrets)
	}
	return secrets
}

// secret marks a value that strip took away.
type secret struct{}

// strip copies value without what is writeOnly and adds the strings of that to secrets.
func (s *schema) strip(list []map[string]any, value any, secrets *[]string) any {
	all := s.expand(list, true)
	for _, sub := range all {
		if sub["writeOnly"] == true {
			addStrings(value, secrets)
			return secret{}
		}
	}
	switch t := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(t))
		for name, v := range t {
			if kept := s.strip(s.ofProperty(all, name), v, secrets); kept != (secret{}) {
				out[name] = kept
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(t))
		for i, v := range t {
			if kept := s.strip(s.ofItem(all, i), v, secrets); kept != (secret{}) {
				out = append(out, kept)
			}
		}
		return out
	}
	return value
}

func addStrings(v any, to *[]string) {
	switch t := v.(type) {
	case string:
		if t != "" {
			*to = append(*to, t)
		}
	case map[string]any:
		for _, e := range t {
			addStrings(e, to)
		}
	case []any:
		for _, e := range t {
			addStrings(e, to)
		}
	}
}
