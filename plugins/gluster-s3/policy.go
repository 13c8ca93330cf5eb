package main

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Actions that a binding may do. Bucket and objects are in one statement: each action
// applies to one of its two resources.
var (
	readActions = []string{
		"s3:GetBucketLocation", "s3:GetBucketVersioning",
		"s3:ListBucket", "s3:ListBucketVersions", "s3:GetObject", "s3:GetObjectVersion",
	}
	writeActions = []string{
		"s3:ListBucketMultipartUploads", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
		"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
	}
)

// actionsFor are the actions of an access.
func actionsFor(access string) []string {
	if access == accessReadOnly {
		return readActions
	}
	return slices.Concat(readActions, writeActions)
}

// resourcesOf are a bucket and all its objects.
func resourcesOf(bucket string) []string {
	return []string{"arn:aws:s3:::" + bucket, "arn:aws:s3:::" + bucket + "/*"}
}

// inlinePolicy is the policy of an IAM user that may do with the bucket what access says.
func inlinePolicy(bucket, access string) string {
	raw, err := json.Marshal(map[string]any{
		"Version": "2012-10-17",
		"Statement": []any{map[string]any{
			"Effect": "Allow", "Action": actionsFor(access), "Resource": resourcesOf(bucket),
		}},
	})
	if err != nil {
		panic(err) // strings only
	}
	return string(raw)
}

// The statements of ours in a bucket's policy, by Sid. All bindings with the same
// access share one, since gateways limit the size of a policy: each costs the length
// of a user's name. The names say which binding and call they are of.
const (
	sidReadOnly  = "ChandlerReadOnly"
	sidReadWrite = "ChandlerReadWrite"
)

func sidFor(access string) string {
	if access == accessReadOnly {
		return sidReadOnly
	}
	return sidReadWrite
}

// bucketPolicy is a bucket's policy. Statements that are not ours are kept as they are.
type bucketPolicy struct {
	rest       map[string]json.RawMessage // the document without Statement
	statements []statement
}

// statement is a statement of a policy. Only what this plugin looks at has a field.
type statement struct {
	raw        map[string]json.RawMessage
	sid        string
	principals []string // of "Principal": {"AWS": …} or "Principal": "…"
	plain      bool     // principals holds everything that Principal said
}

// parsePolicy reads a policy document; "" is an empty one.
func parsePolicy(doc string) (*bucketPolicy, error) {
	p := &bucketPolicy{rest: map[string]json.RawMessage{}}
	if doc == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(doc), &p.rest); err != nil {
		return nil, fmt.Errorf("bucket policy: %w", err)
	}
	list := p.rest["Statement"]
	delete(p.rest, "Statement")
	var raws []map[string]json.RawMessage
	if len(list) > 0 && list[0] == '{' { // one statement may stand alone
		list = slices.Concat([]byte{'['}, list, []byte{']'})
	}
	if len(list) > 0 {
		if err := json.Unmarshal(list, &raws); err != nil {
			return nil, fmt.Errorf("bucket policy: %w", err)
		}
	}
	for _, raw := range raws {
		p.statements = append(p.statements, parseStatement(raw))
	}
	return p, nil
}

func parseStatement(raw map[string]json.RawMessage) statement {
	s := statement{raw: raw}
	_ = json.Unmarshal(raw["Sid"], &s.sid)
	principal := raw["Principal"]
	var object map[string]json.RawMessage
	if json.Unmarshal(principal, &object) == nil && len(object) == 1 {
		principal = object["AWS"]
	}
	var one string
	switch {
	case json.Unmarshal(principal, &one) == nil && len(principal) > 0:
		s.principals, s.plain = []string{one}, true
	case json.Unmarshal(principal, &s.principals) == nil && len(principal) > 0:
		s.plain = true
	}
	return s
}

// ours tells whether the statement is of this plugin's making.
func (s statement) ours() bool { return s.plain && (s.sid == sidReadOnly || s.sid == sidReadWrite) }

// keepPrincipals drops principals that keep says no to, in our statements or in all,
// and statements that then have none left. It tells whether anything changed.
func (p *bucketPolicy) keepPrincipals(all bool, keep func(string) bool) bool {
	changed := false
	kept := p.statements[:0]
	for _, s := range p.statements {
		if !s.ours() && !(all && s.plain) {
			kept = append(kept, s)
			continue
		}
		remaining := slices.DeleteFunc(slices.Clone(s.principals), func(name string) bool { return !keep(name) })
		if len(remaining) != len(s.principals) {
			changed = true
			s.setPrincipals(remaining)
		}
		if len(remaining) > 0 {
			kept = append(kept, s)
		}
	}
	p.statements = kept
	return changed
}

func (s *statement) setPrincipals(names []string) {
	s.principals = names
	raw, err := json.Marshal(map[string][]string{"AWS": names})
	if err != nil {
		panic(err) // strings only
	}
	s.raw["Principal"] = raw
}

// allow adds a principal to our statement for that access. It tells whether anything changed.
func (p *bucketPolicy) allow(name, bucket, access string) bool {
	for i := range p.statements {
		s := &p.statements[i]
		if !s.ours() || s.sid != sidFor(access) {
			continue
		}
		if slices.Contains(s.principals, name) {
			return false
		}
		s.setPrincipals(append(s.principals, name))
		return true
	}
	raw := map[string]json.RawMessage{}
	for key, value := range map[string]any{
		"Sid": sidFor(access), "Effect": "Allow", "Action": actionsFor(access), "Resource": resourcesOf(bucket),
	} {
		raw[key], _ = json.Marshal(value) // strings only
	}
	s := statement{raw: raw, sid: sidFor(access), plain: true}
	s.setPrincipals([]string{name})
	p.statements = append(p.statements, s)
	return true
}

// String is the document, "" if it has no statement.
func (p *bucketPolicy) String() string {
	if len(p.statements) == 0 {
		return ""
	}
	doc := map[string]any{"Version": "2012-10-17"}
	for k, v := range p.rest {
		doc[k] = v
	}
	raws := make([]map[string]json.RawMessage, 0, len(p.statements))
	for _, s := range p.statements {
		raws = append(raws, s.raw)
	}
	doc["Statement"] = raws
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err) // it was parsed from JSON
	}
	return string(raw)
}
