package main

// each makes a list of another one, element by element.
func each[From, To any](list []From, convert func(From) To) []To {
	converted := make([]To, 0, len(list))
	for _, e := range list {
		converted = append(converted, convert(e))
	}
	return converted
}

// optional is nil for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
