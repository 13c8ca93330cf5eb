package catalog_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/template"
)

// Lint says what OSB allows and platforms stumble over; none of it refuses the catalog.
func TestLint(t *testing.T) {
	const guid = "5e5a8c5c-0000-4000-8000-000000000001"
	clean := service("examples: [{name: a}]\n", "")
	tests := []struct {
		name, why, text string
		want            string // "" means nothing to say
	}{
		{"clean", "", clean, ""},
		{"C-5 name", "capitals and dots are awkward", strings.Replace(clean, "name: small", "name: Small.one", 1), "catalog/a.yaml:2:7: warning: name: the name is awkward"},
		{"A-13 long name", "svc-cat takes 63 characters", strings.Replace(clean, "name: small", "name: "+strings.Repeat("x", 64), 1), "name: more than 63 characters"},
		{"CAT-29 long description", "255 characters", strings.Replace(clean, "description: A small service.", "description: "+strings.Repeat("x", 256), 1), "description: more than 255 characters"},
		{"CAT-05 id is no GUID", "", strings.Replace(clean, guid, "zero", 1), "1:5: warning: id: an id should be a GUID"},
		{"CAT-17 plan id is no GUID", "", strings.Replace(clean, "5e5a8c5c-0000-4000-8000-000000000002", "zero", 1), "plans[0].id: an id should be a GUID"},
		{"A-13 documentationUrl", "Korifi panics", clean + "metadata: {documentationUrl: {a: b}}\n", "metadata.documentationUrl: must be a string"},
		{"CAT-32 near miss", "platforms do not show it", clean + "metadata: {displayname: x}\n", `metadata.displayname: not a conventional name; platforms do not show it (did you mean "displayName"?)`},
		{"vendor metadata", "anything else is fine", clean + "metadata: {acme.example/tier: gold}\n", ""},
		{"CAT-32 costs", "", clean + "  metadata: {costs: [{amount: 5, unit: MONTHLY}]}\n", "plans[0].metadata.costs: must be a list of amount"},
		{"good costs", "", strings.Replace(clean, "  name: only\n", "  name: only\n  metadata: {costs: [{amount: {usd: 5, eur: 4.5}, unit: MONTHLY}], bullets: [x]}\n", 1), ""},
		{"no examples", "", service("", ""), "examples: the service has no examples"},
		{"servicebinding.io near miss", "", strings.Replace(clean, "bindable: false", "credentials: {hostname: h, user: u, url: x, ca: c}", 1), `credentials.hostname: applications that follow servicebinding.io look for "host"`},
		{"both names", "", strings.Replace(clean, "bindable: false", "credentials: {hostname: h, host: h}", 1), ""},
		{"secret in git", "", clean + "dashboardClient: {id: a, secret: b}\n", "dashboardClient.secret: a secret in the catalog ends up in version control"},
		{"CAT-24 maintenance without words", "", clean + "maintenanceInfo: {version: 1.0.0}\n", "maintenanceInfo.description: users are not told"},
		{"update that nothing reaches", "", clean + "update: {a: b}\n", "update: no update can reach this template"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Keys that are appended to the plans' list belong to the service: it goes before the plans.
			text := tt.text
			if i := strings.Index(text, minimalPlan); i >= 0 && !strings.HasSuffix(text, minimalPlan) && !strings.HasPrefix(text[i+len(minimalPlan):], " ") {
				text = text[:i] + text[i+len(minimalPlan):] + minimalPlan
			}
			parsed := mustParse(t, map[string]string{"catalog/a.yaml": text}, catalog.Options{})
			problems := parsed.Lint()
			got := texts(problems)
			if catalog.Refused(problems) {
				t.Error("lint refuses")
			}
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("want %q (%s), got\n%s", tt.want, tt.why, got)
			}
		})
	}
}

// The shipped catalog gives lint nothing to say.
func TestLintShipped(t *testing.T) {
	src, problems := catalog.ReadSources("../../catalog", "../../templates")
	parsed, more := catalog.Parse(src, catalog.Options{Templates: template.New(), Describe: shippedPlugins(t)})
	if parsed == nil {
		t.Fatal(texts(append(problems, more...)))
	}
	if text := texts(parsed.Lint()); text != "" {
		t.Error(text)
	}
}

// Preview renders without a backend: samples of what the plugin declares, secrets masked, any shape.
func TestPreview(t *testing.T) {
	src, _ := catalog.ReadSources("../../catalog", "../../templates")
	parsed, problems := catalog.Parse(src, catalog.Options{Templates: template.New(), Describe: shippedPlugins(t)})
	if parsed == nil {
		t.Fatal(texts(problems))
	}
	alone, problems := catalog.Parse(src, catalog.Options{Templates: template.New()})
	if alone == nil {
		t.Fatal(texts(problems))
	}
	for shape, want := range map[string][]string{
		"":                                {"bucketName", "bucketEndpoint", "bucketID", "bucketPword"},
		"credentials/aws.yaml":            {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "BUCKET_NAME"},
		"credentials/cosi.yaml":           {"COSI_S3_BUCKET_ID", "COSI_S3_ACCESS_SECRET_KEY"},
		"credentials/servicebinding.yaml": {"type", "host", "port", "username", "password"},
	} {
		out, problems := parsed.Preview("gluster-s3-bucket", "default", "named bucket", shape)
		if len(problems) > 0 {
			t.Fatal(texts(problems))
		}
		credentials, _ := out["credentials"].(map[string]any)
		masked := false
		for _, key := range want {
			if _, has := credentials[key]; !has {
				t.Errorf("%s: no %s in %v", shape, key, credentials)
			}
			masked = masked || credentials[key] == catalog.Mask
		}
		if !masked {
			t.Errorf("%s: the secret key is not masked: %v", shape, credentials)
		}
		if inputs, _ := out["provision"].(map[string]any); inputs["bucket"] != "photos" {
			t.Errorf("inputs %v", inputs)
		}
		out, problems = alone.Preview("gluster-s3-bucket", "default", "named bucket", shape)
		credentials, _ = out["credentials"].(map[string]any)
		guessed := strings.Contains(texts(problems), "the plugin was not asked") // a boolean output cannot be guessed
		if boolean := strings.Contains(shape, "aws") || strings.Contains(shape, "cosi"); boolean != guessed || boolean == (credentials[want[0]] != nil) {
			t.Errorf("%s: without a plugin: %v\n%s", shape, out, texts(problems))
		}
	}
	for _, names := range [][4]string{{"gluster-s3-bukket", "", "", ""}, {"demo-service", "fast", "", ""}, {"demo-service", "default", "none", ""},
		{"demo-service", "default", "", "credentials/none.yaml"}, {"demo-service", "default", "", "credentials/aws.yaml"}} {
		if _, problems := parsed.Preview(names[0], names[1], names[2], names[3]); !catalog.Refused(problems) {
			t.Errorf("%v can be rendered", names)
		}
	}
}

// An example's update is what its update sends, and nothing that its provision knows of.
func TestPreviewOfUpdate(t *testing.T) {
	text := service(`schemas:
  provision: {type: object, properties: {size: {type: integer}, note: {type: string}}}
  update: {type: object, properties: {size: {type: integer}, note: {type: [string, "null"]}}}
examples:
- {name: grows, provision: {size: 1, note: first}, update: {size: 9, note: null}}
`, "  provision: {size: '{{ .parameters.size }}', note: '{{ .parameters.note }}'}\n"+
		"  update: {size: '{{ .parameters.size }}', note: '{{ .instance.parameters.note | default \"none\" }}'}\n")
	out, problems := mustParse(t, map[string]string{"catalog/a.yaml": text}, catalog.Options{}).Preview("small", "only", "grows", "")
	if len(problems) > 0 {
		t.Fatal(texts(problems))
	}
	want := map[string]any{
		"provision": map[string]any{"size": int64(1), "note": "first"},
		"update":    map[string]any{"size": int64(9), "note": "none"}, // null took the note away
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
