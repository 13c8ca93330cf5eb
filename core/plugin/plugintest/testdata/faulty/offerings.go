package main

import (
	"context"
	"strings"

	"github.com/chandler-broker/chandler/core/plugin"
)

const offered = `id: f0000000-0000-4000-8000-000000000001
name: faulty
description: A service with which nothing is wrong.
bindable: true
plans:
- id: f0000000-0000-4000-8000-000000000002
  name: first
  description: A plan.
  credentials: {username: "{{ .binding.outputs.username }}"}
- {id: f0000000-0000-4000-8000-000000000003, name: second, description: Another plan., bindable: false}
`

func (a *author) Offerings(context.Context) ([]plugin.Offering, error) {
	name, text := "faulty.yaml", offered
	change := func(old, new string) { text = strings.Replace(text, old, new, 1) }
	switch fault {
	case "offerings-fail":
		return nil, plugin.Failed("no offerings today")
	case "offerings-change":
		change("A plan.", random())
	case "offering-no-yaml":
		text = "- a\n"
	case "offering-no-id":
		change("id: f0000000-0000-4000-8000-000000000001", "id: 12")
	case "offering-no-plans":
		text, _, _ = strings.Cut(text, "plans:")
	case "offering-same-id":
		change("000000000002", "000000000001")
	case "offering-same-plan":
		change("name: second", "name: first")
	case "offering-backend":
		text += "backend: faulty\n"
	case "offering-template-file":
		change(`{username: "{{ .binding.outputs.username }}"}`, "credentials/cns.yaml")
	case "offering-twice":
		other := strings.ReplaceAll(text, "f0000000", "f0000001")
		return []plugin.Offering{{Name: name, YAML: []byte(text)}, {Name: "more.yaml", YAML: []byte(other)}}, nil
	}
	return []plugin.Offering{{Name: name, YAML: []byte(text)}}, nil
}
