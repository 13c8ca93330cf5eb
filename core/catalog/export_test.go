package catalog

// Keys gives every key that is decoded, with its kind, by the mapping that holds it.
func Keys() map[string]map[string]string {
	return map[string]map[string]string{
		"Service":         without(kinds(serviceFields), kinds(settingsFields)),
		"Plan":            without(kinds(planFields), kinds(settingsFields)),
		"Settings":        kinds(settingsFields),
		"dashboardClient": kinds(dashboardClientFields),
		"maintenanceInfo": kinds(maintenanceInfoFields),
		"schemas":         kinds(schemasFields),
		"async":           kinds(asyncFields),
		"timeouts":        kinds(timeoutFields),
		"examples":        kinds(exampleFields),
	}
}

func kinds[T any](fields []field[T]) map[string]string {
	out := map[string]string{}
	for _, f := range fields {
		out[f.key] = f.kind
	}
	return out
}

func without(all, those map[string]string) map[string]string {
	for key := range those {
		delete(all, key)
	}
	return all
}
