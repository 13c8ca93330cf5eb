package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

type offering struct {
	configurable
	offerings func(context.Context) ([]plugin.Offering, error)
}

func (o offering) Offerings(ctx context.Context) ([]plugin.Offering, error) { return o.offerings(ctx) }

func notes(name string, size int) plugin.Offering {
	return plugin.Offering{Name: name, YAML: bytes.Repeat([]byte("#"), size)}
}

func TestOfferings(t *testing.T) {
	var tooMany []plugin.Offering
	for i := range plugin.MaxOfferings/plugin.MaxDocument + 1 {
		tooMany = append(tooMany, notes(fmt.Sprintf("n%d.yaml", i), plugin.MaxDocument))
	}
	for _, c := range []struct {
		name, why string
		list      []plugin.Offering
		err       error
		code      codes.Code
		text      string
	}{
		{"good", "what is given arrives", []plugin.Offering{{Name: "a.yaml", YAML: []byte("id: a\n")}, {Name: "B-2_x.yml", YAML: []byte("id: b\n")}}, nil, codes.OK, ""},
		{"none", "a configuration may have nothing to offer", nil, nil, codes.OK, ""},
		{"as large as allowed", "the bound is inclusive", []plugin.Offering{notes("a.yaml", plugin.MaxDocument)}, nil, codes.OK, ""},
		{"all as large as allowed", "the bound of all is inclusive", tooMany[1:], nil, codes.OK, ""},
		{"a path", "names become part of names of the catalog's files", []plugin.Offering{notes("../a.yaml", 1)}, nil, codes.Internal, `"../a.yaml"`},
		{"hidden", "the catalog directory has no hidden files either", []plugin.Offering{notes(".a.yaml", 1)}, nil, codes.Internal, `".a.yaml"`},
		{"no YAML", "the ending says what it is", []plugin.Offering{notes("a.json", 1)}, nil, codes.Internal, `"a.json"`},
		{"a long name", "it is shown in one line", []plugin.Offering{notes(strings.Repeat("a", 124)+".yaml", 1)}, nil, codes.Internal, "file name"},
		{"twice", "one would hide the other", []plugin.Offering{notes("a.yaml", 1), notes("a.yaml", 1)}, nil, codes.Internal, "two offerings"},
		{"too large", "a file of the catalog has this limit", []plugin.Offering{notes("a.yaml", plugin.MaxDocument+1)}, nil, codes.Internal, "at most 1048576"},
		{"too many", "they are sent and stored in one piece", tooMany, nil, codes.Internal, "together"},
		{"unavailable", "the broker tells it from a mistake", nil, plugin.Unavailable(0, "down").WithDetail("with t0ken t0ken"), codes.Unavailable, "down (with (secret))"},
		{"failed", "its text is for the operator", nil, plugin.Failed("cannot").WithDetail("no disk"), codes.Internal, "cannot (no disk)"},
		{"foreign error", "secrets of the configuration are masked", nil, errors.New("dial with t0ken t0ken"), codes.Internal, "dial with (secret)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, _ := serve(t, describedWithToken(), offering{
				configurable: configurable{configure: func(context.Context, *plugin.ConfigureRequest) error { return nil }},
				offerings:    func(context.Context) ([]plugin.Offering, error) { return c.list, c.err }})
			if _, err := client.Offerings(t.Context(), &pluginpb.OfferingsRequest{}); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("before Configure: %v", err)
			}
			if _, err := client.Configure(t.Context(), &pluginpb.ConfigureRequest{Config: []byte(`{"token": "t0ken t0ken"}`)}); err != nil {
				t.Fatal(err)
			}
			got, err := client.Offerings(t.Context(), &pluginpb.OfferingsRequest{}, grpc.MaxCallRecvMsgSize(plugin.MaxMessage))
			if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.text) {
				t.Fatalf("got %v; expected %v with %q: %s", err, c.code, c.text, c.why)
			}
			if c.code != codes.OK {
				return
			}
			var list []plugin.Offering
			for _, o := range got.GetOfferings() {
				list = append(list, plugin.Offering{Name: o.GetName(), YAML: o.GetYaml()})
			}
			if diff := cmp.Diff(c.list, list); diff != "" {
				t.Errorf("%s:\n%.400s", c.why, diff)
			}
		})
	}
}

func describedWithToken() plugin.Description {
	d := description()
	d.Config = []byte(`{"type": "object", "properties": {"token": {"type": "string", "writeOnly": true}}}`)
	return d
}

// Only an Offerer announces the capability; of others the call is not implemented.
func TestOfferingsCapability(t *testing.T) {
	for name, c := range map[string]struct {
		plugin plugin.Plugin
		want   []string
	}{
		"an Offerer": {offering{offerings: func(context.Context) ([]plugin.Offering, error) { return nil, nil }}, []string{"offerings"}},
		"another":    {author{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, description(), c.plugin)
			got, err := client.Describe(t.Context(), &pluginpb.DescribeRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.GetCapabilities()); diff != "" {
				t.Error(diff)
			}
			if c.want != nil {
				return
			}
			if _, err := client.Offerings(t.Context(), &pluginpb.OfferingsRequest{}); status.Code(err) != codes.Unimplemented {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A panic of the author's code is an error of this call and does not end the process.
func TestOfferingsPanic(t *testing.T) {
	client, log := serve(t, description(), offering{
		configurable: configurable{configure: func(context.Context, *plugin.ConfigureRequest) error { return nil }},
		offerings:    func(context.Context) ([]plugin.Offering, error) { panic("odd") }})
	if _, err := client.Configure(t.Context(), &pluginpb.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Offerings(t.Context(), &pluginpb.OfferingsRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("got %v", err)
	}
	if _, err := client.Health(t.Context(), &pluginpb.HealthRequest{}); err != nil || !strings.Contains(log.String(), "odd") {
		t.Errorf("health %v; log %s", err, log)
	}
}
