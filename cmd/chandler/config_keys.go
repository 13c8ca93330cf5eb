package main

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/chandler-broker/chandler/core"
)

// unknownKeys lists the keys of a document that its type does not have, each as
// file:line:column, with the path and the key that was probably meant. yaml.v3's own
// strict decoder names Go types instead.
func unknownKeys(file string, n *yaml.Node, t reflect.Type, at string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var problems []string
	switch {
	case n.Kind == yaml.DocumentNode:
		return unknownKeys(file, n.Content[0], t, at)
	case n.Kind == yaml.AliasNode:
		return nil // its anchor was looked at where it stands
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			problems = append(problems, unknownKeys(file, item, t.Elem(), fmt.Sprintf("%s[%d]", at, i))...)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map && t.Elem().Kind() != reflect.Interface:
		for i := 0; i+1 < len(n.Content); i += 2 {
			problems = append(problems, unknownKeys(file, n.Content[i+1], t.Elem(), join(at, n.Content[i].Value))...)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		fields := keysOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			field, ok := fields[key.Value]
			if !ok {
				problems = append(problems, fmt.Sprintf("%s:%d:%d: unknown key %s%s", file, key.Line, key.Column, join(at, key.Value), nearest(key.Value, fields)))
				continue
			}
			problems = append(problems, unknownKeys(file, n.Content[i+1], field, join(at, key.Value))...)
		}
	}
	return problems
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

// keysOf gives the YAML keys of a struct with their types.
func keysOf(t reflect.Type) map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" {
			keys[name] = t.Field(i).Type
		}
	}
	return keys
}

// nearest gives a hint with the key that differs least from name, if it is near enough
// to be meant, else with all keys.
func nearest(name string, keys map[string]reflect.Type) string {
	best, least := "", 3
	all := sortedKeys(keys)
	for _, key := range all {
		d := core.EditDistance(strings.ToLower(name), strings.ToLower(key))
		if len(name) > 2 && strings.HasPrefix(strings.ToLower(key), strings.ToLower(name)) {
			d = 1
		}
		if d < least {
			best, least = key, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return "; there are " + strings.Join(all, ", ")
}
