package core

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
)

// RequestDigest tells the same request again from a different one: the lower-case
// hex SHA-256 of the canonical JSON of parts. JSON text (json.RawMessage) is
// compared by value: absent, null and {} are the same, and so are 1 and 1.0. It
// fails with CodeInvalid on JSON that is not an object.
func RequestDigest(parts ...any) (string, error) {
	list := make([]any, len(parts))
	for i, part := range parts {
		raw, ok := part.(json.RawMessage)
		if !ok {
			list[i] = part
			continue
		}
		m, err := JSONObject(raw)
		if err != nil {
			return "", AsError(err)
		}
		list[i] = m
	}
	text, err := CanonicalJSON(list)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// instanceDigest identifies what an instance is (decision C-9): the context is not part of it.
func instanceDigest(i *Instance) (string, error) {
	return RequestDigest(i.ServiceID, i.PlanID, i.Parameters, i.OrganizationGUID, i.SpaceGUID)
}

// parametersOf decodes the parameters of a request and drops the top-level nulls:
// null means "not set", or in an update "remove". removed lists their names.
func parametersOf(raw json.RawMessage) (params map[string]any, removed []string, err error) {
	params, err = JSONObject(raw)
	if err != nil {
		return nil, nil, &Error{Code: CodeInvalid, Message: "The parameters are not a JSON object.",
			Violations: []Violation{{Pointer: "/parameters", Message: "expected an object"}}}
	}
	for key, value := range params {
		if value == nil {
			removed = append(removed, key)
			delete(params, key)
		}
	}
	return params, removed, nil
}

// merged gives stored with the top-level keys of params over it and removed taken out.
func merged(stored, params map[string]any, removed []string) map[string]any {
	out := maps.Clone(stored)
	maps.Copy(out, params)
	for _, key := range removed {
		delete(out, key)
	}
	return out
}

// object is JSONObject for what the store or the edge has checked already: what
// cannot be read is empty.
func object(raw json.RawMessage) map[string]any {
	m, err := JSONObject(raw)
	if err != nil {
		return map[string]any{}
	}
	return m
}

// canonical encodes a decoded object again.
func canonical(m map[string]any) (json.RawMessage, error) {
	if m == nil {
		m = map[string]any{}
	}
	return CanonicalJSON(m)
}
