package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/chandler-broker/chandler/core"
)

// publishSchema makes the document that the OSB catalog shows and that requests
// are held against of what the author wrote: with "$schema", "type": "object" and
// closed to properties that it does not declare. What is wrong is reported at its line.
func publishSchema(ps *problems, n core.Node, path string) json.RawMessage {
	root := nodeValue(n).(map[string]any)
	before := len(ps.list)
	declared, has := root["$schema"]
	if !has {
		root["$schema"] = defaultDraft
		declared = defaultDraft
	}
	name, _ := declared.(string)
	draft := draftOf(name)
	if draft == 0 {
		at, _ := fieldOf(n, "$schema")
		ps.at(at, join(path, "$schema"), "for example "+defaultDraft, "unknown JSON Schema draft %v; draft-04, -06, -07, 2019-09 and 2020-12 are known", declared)
		return nil
	}
	if t, has := root["type"]; !has {
		root["type"] = "object"
	} else if t != "object" {
		at, _ := fieldOf(n, "type")
		ps.at(at, join(path, "type"), "", `parameters are always an object; write "type: object" or leave it out`)
	}
	walkSchema(root, "", func(sub map[string]any, pointer string) { checkKeywords(ps, n, path, sub, pointer, draft, has) })
	closeSchema(root, draft)
	doc, err := core.CanonicalJSON(root)
	if err != nil {
		ps.at(n, path, "", "cannot be written as JSON: %v", err)
		return nil
	}
	if len(doc) > maxSchemaSize {
		ps.at(n, path, "", "the schema has %d bytes as JSON; OSB allows %d", len(doc), maxSchemaSize)
	}
	if len(ps.list) > before {
		return nil
	}
	return doc
}

// since tells in which draft a keyword that constrains values appeared. Earlier
// drafts ignore it, so a schema that uses it there would promise a check that nobody makes.
var since = map[string]int{
	"const": 6, "contains": 6, "propertyNames": 6,
	"if": 7, "then": 7, "else": 7,
	"dependentRequired": 2019, "dependentSchemas": 2019, "unevaluatedProperties": 2019, "unevaluatedItems": 2019,
	"minContains": 2019, "maxContains": 2019,
	"prefixItems": 2020,
}

// keywords are all keywords of all drafts, for "did you mean".
var keywords = []string{"$schema", "$id", "id", "$ref", "$comment", "$defs", "definitions", "title", "description", "default",
	"examples", "type", "enum", "const", "format", "properties", "patternProperties", "additionalProperties", "required",
	"minProperties", "maxProperties", "propertyNames", "dependencies", "dependentRequired", "dependentSchemas", "items",
	"additionalItems", "prefixItems", "contains", "minContains", "maxContains", "minItems", "maxItems", "uniqueItems",
	"minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
	"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "readOnly", "writeOnly", "deprecated", "contentEncoding",
	"contentMediaType", "contentSchema", "unevaluatedProperties", "unevaluatedItems", "$anchor", "$dynamicAnchor",
	"$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary"}

// checkKeywords reports what would silently not do what it says, and references that leave the document.
func checkKeywords(ps *problems, n core.Node, path string, s map[string]any, pointer string, draft int, declared bool) {
	for key, value := range s {
		at := nodeAt(n, pointer+"/"+escapePointer(key))
		where := path + pointer + "/" + key
		switch key {
		case "$ref":
			if ref, ok := value.(string); ok && ref != "#" && !strings.HasPrefix(ref, "#/") {
				ps.at(at, where, `write "#/definitions/…"`, "a reference must stay in its document and be a JSON pointer, found %q", ref)
			}
			continue
		case "$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary":
			ps.at(at, where, `use "$ref" with a JSON pointer`, "%s is not supported in a catalog's schemas", key)
			continue
		case "$id", "id":
			if pointer != "" {
				ps.at(at, where, "", "%s is only supported at the top of a schema", key)
			}
			continue
		}
		if from := since[key]; from > draft {
			hint := fmt.Sprintf(`write "$schema: %s"`, draftURL(from))
			what := "the schema is of draft " + strconv.Itoa(draft)
			if !declared {
				what = "a schema without $schema is of draft 4"
			}
			ps.at(at, where, hint, "%s, which does not know %s", what, key)
		}
		if !slices.Contains(keywords, key) && !strings.HasPrefix(strings.ToLower(key), "x-") {
			if hint := didYouMean(key, keywords); hint != "" {
				ps.at(at, where, hint+" (vendor keywords begin with x-)", "unknown JSON Schema keyword %q", key)
			}
		}
	}
}

func draftURL(draft int) string {
	if draft >= 2019 {
		return map[int]string{2019: "https://json-schema.org/draft/2019-09/schema", 2020: "https://json-schema.org/draft/2020-12/schema"}[draft]
	}
	return fmt.Sprintf("http://json-schema.org/draft-0%d/schema#", draft)
}

// closeSchema refuses undeclared properties at the top level unless the author
// decided it himself. Properties that only subschemas of the same object declare
// are named at the top too, with no further condition, since
// "additionalProperties" does not look into subschemas.
func closeSchema(root map[string]any, draft int) {
	if ref, ok := root["$ref"]; ok && draft < 2019 {
		// What stands beside a $ref is ignored in these drafts, "additionalProperties" too.
		all, _ := root["allOf"].([]any)
		root["allOf"] = append([]any{map[string]any{"$ref": ref}}, all...)
		delete(root, "$ref")
	}
	if _, decided := root["additionalProperties"]; decided {
		return
	}
	if _, decided := root["unevaluatedProperties"]; decided {
		return
	}
	s := schema{root: root, draft: draft}
	properties, patterns := map[string]any{}, map[string]any{}
	for _, sub := range s.expand([]map[string]any{root}, true) {
		if open, ok := sub["additionalProperties"]; ok && open != false {
			return
		}
		if open, ok := sub["unevaluatedProperties"]; ok && open != false {
			return
		}
		addKeys(properties, sub["properties"])
		addKeys(patterns, sub["patternProperties"])
	}
	root["additionalProperties"] = false
	fillIn(root, "properties", properties)
	fillIn(root, "patternProperties", patterns)
}

func addKeys(to map[string]any, from any) {
	m, _ := from.(map[string]any)
	for k := range m {
		to[k] = map[string]any{}
	}
}

func fillIn(root map[string]any, key string, names map[string]any) {
	own, _ := root[key].(map[string]any)
	if len(names) == 0 || root[key] != nil && own == nil {
		return
	}
	if own == nil {
		own = map[string]any{}
	}
	for k, v := range names {
		if _, there := own[k]; !there {
			own[k] = v
		}
	}
	root[key] = own
}

// reportSchema turns the library's word about a schema into problems at its lines.
func reportSchema(ps *problems, n core.Node, path string, err error) {
	var invalid *jsonschema.SchemaValidationError
	var verr *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &verr) {
		for _, v := range violations(verr, nil) {
			ps.at(nodeAt(n, v.Pointer), path+v.Pointer, "", "not a valid JSON Schema: %s", v.Message)
		}
		return
	}
	text := strings.ReplaceAll(err.Error(), schemaURL, "")
	var regex *jsonschema.InvalidRegexError
	if errors.As(err, &regex) {
		text = fmt.Sprintf("the pattern %q is not a valid regular expression (RE2): %v", regex.Regex, regex.Err)
		n = nodeAt(n, fragment(regex.URL))
	}
	var missing *jsonschema.JSONPointerNotFoundError
	if errors.As(err, &missing) {
		text = fmt.Sprintf("the reference %s leads nowhere", strings.TrimPrefix(missing.URL, schemaURL))
	}
	ps.at(n, path, "", "not a valid JSON Schema: %s", text)
}

// checkDefaults holds every default against its own subschema.
func checkDefaults(ps *problems, n core.Node, path string, s *schema) {
	walkSchema(s.root, "", func(sub map[string]any, pointer string) {
		value, has := sub["default"]
		if !has {
			return
		}
		part, err := s.part(sub)
		if err != nil {
			return // the part cannot stand alone
		}
		for _, v := range part.check(value) {
			ps.at(nodeAt(n, pointer+"/default"), path+pointer+"/default", "", "the default breaks its own schema: %s%s", prefixPointer(v.Pointer), v.Message)
		}
	})
}

func prefixPointer(p string) string {
	if p == "" {
		return ""
	}
	return p + " "
}

// part compiles a subschema as a document of its own, with the definitions that it
// can refer to. It is an error where references lead elsewhere, such as to "#".
func (s *schema) part(sub map[string]any) (*schema, error) {
	for _, each := range s.everySubschema() {
		ref, has := each["$ref"].(string)
		if has && !strings.HasPrefix(ref, "#/definitions/") && !strings.HasPrefix(ref, "#/$defs/") {
			return nil, fmt.Errorf("the reference %s leaves the definitions", ref)
		}
	}
	root := map[string]any{"$schema": s.root["$schema"], "allOf": []any{sub}}
	for _, key := range []string{"definitions", "$defs"} {
		if v, ok := s.root[key]; ok {
			root[key] = v
		}
	}
	doc, err := core.CanonicalJSON(root)
	if err != nil {
		return nil, err
	}
	return compileSchema(doc)
}

// nodeAt finds the node under a JSON pointer, or the nearest one around it.
func nodeAt(n core.Node, pointer string) core.Node {
	if pointer == "" {
		return n
	}
	for _, token := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		if i, err := strconv.Atoi(token); err == nil && n.Kind == core.NodeList && i >= 0 && i < len(n.Items) {
			n = n.Items[i]
			continue
		}
		next, ok := fieldOf(n, token)
		if !ok {
			return n
		}
		n = next
	}
	return n
}
