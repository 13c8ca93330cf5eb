package catalog

import (
	"slices"

	"github.com/chandler-broker/chandler/core"
)

// settingKeys are the keys of a service that are defaults of its plans.
var settingKeys = keysOf(settingsFields)

// mergePlan gives a plan's node with the service's settings filled in. Where both
// say a setting, mappings are merged by key, at every depth, and the plan wins;
// scalars, lists and template files replace. A null in the plan takes the default away.
func mergePlan(service, plan core.Node) core.Node {
	inherited := func(f core.Field) bool {
		_, there := fieldOf(plan, f.Key)
		return !there && slices.Contains(settingKeys, f.Key)
	}
	size := len(plan.Fields)
	for _, f := range service.Fields {
		if inherited(f) {
			size++
		}
	}
	merged := plan
	merged.Fields = make([]core.Field, 0, size)
	for _, f := range plan.Fields {
		if slices.Contains(settingKeys, f.Key) {
			fromFile := f.Value.File != plan.File
			if base, ok := fieldOf(service, f.Key); ok && !fromFile {
				f.Value = mergeNode(base, f.Value)
			}
		}
		merged.Fields = append(merged.Fields, f)
	}
	for _, f := range service.Fields {
		if inherited(f) {
			merged.Fields = append(merged.Fields, f)
		}
	}
	return merged
}

func mergeNode(base, over core.Node) core.Node {
	if base.Kind != core.NodeMapping || over.Kind != core.NodeMapping {
		return over
	}
	merged := over
	merged.Fields = make([]core.Field, 0, len(base.Fields)+len(over.Fields))
	for _, f := range base.Fields {
		o := slices.IndexFunc(over.Fields, func(o core.Field) bool { return o.Key == f.Key })
		if o < 0 {
			merged.Fields = append(merged.Fields, f)
			continue
		}
		if isNull(over.Fields[o].Value) {
			continue
		}
		f = over.Fields[o]
		b, _ := fieldOf(base, f.Key)
		f.Value = mergeNode(b, f.Value)
		merged.Fields = append(merged.Fields, f)
	}
	for _, f := range over.Fields {
		if _, there := fieldOf(base, f.Key); !there {
			merged.Fields = append(merged.Fields, f)
		}
	}
	return merged
}
