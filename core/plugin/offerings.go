package plugin

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// MaxOfferings bounds all offerings of a plugin together, in bytes; each of them may
// have [MaxDocument].
const MaxOfferings = 4 << 20

// Offerer is implemented by plugins that bring services of their own, so that
// operators need no catalog file for them; it announces the capability "offerings".
type Offerer interface {
	// Offerings gives the services. It is called after Configure and should answer at
	// once, with the same as long as the process lives: a plugin whose offerings
	// fail does not serve. Its errors are shown to operators only.
	Offerings(ctx context.Context) ([]Offering, error)
}

// Offering is one service definition, as a file of the broker's catalog directory has it.
type Offering struct {
	// Name is a file name such as "notes.yaml": 1 to 128 letters, digits, dots, dashes
	// and underscores, the first of them a letter or digit, the last .yaml or .yml.
	// Unique among the plugin's offerings.
	Name string
	// YAML is the file's content, at most 1 MiB. It leaves `backend` out, which is the backend
	// that was asked, and cannot refer to template files: credentials are inline.
	YAML []byte
}

var offeringName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*\.ya?ml$`)

const maxOfferingName = 128

// CheckOfferings says what of the contract's bounds a plugin's offerings break: names,
// sizes, and names that are there twice. It does not read the YAML.
func CheckOfferings(list []Offering) error {
	var problems []error
	seen, total := map[string]bool{}, 0
	for _, o := range list {
		if len(o.Name) > maxOfferingName || !offeringName.MatchString(o.Name) {
			problems = append(problems, fmt.Errorf("the offering's name %.140q is not a file name such as notes.yaml", o.Name))
		}
		if seen[o.Name] {
			problems = append(problems, fmt.Errorf("two offerings have the name %.140q", o.Name))
		}
		if len(o.YAML) > MaxDocument {
			problems = append(problems, fmt.Errorf("the offering %.140q has %d bytes; at most %d are allowed", o.Name, len(o.YAML), MaxDocument))
		}
		seen[o.Name] = true
		total += len(o.YAML)
	}
	if total > MaxOfferings {
		problems = append(problems, fmt.Errorf("the offerings have %d bytes together; at most %d are allowed", total, MaxOfferings))
	}
	return errors.Join(problems...)
}

// Offerings asks the author.
func (s *server) Offerings(ctx context.Context, _ *pluginpb.OfferingsRequest) (*pluginpb.OfferingsResponse, error) {
	o, ok := s.plugin.(Offerer)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the plugin brings no offerings")
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.running.Done()
	list, err := s.offerings(ctx, o)
	if err == nil {
		err = CheckOfferings(list)
	}
	if err != nil {
		return nil, s.offeringsStatus(err)
	}
	out := &pluginpb.OfferingsResponse{}
	for _, o := range list {
		out.Offerings = append(out.Offerings, &pluginpb.Offering{Name: o.Name, Yaml: o.YAML})
	}
	return out, nil
}

func (s *server) offerings(ctx context.Context, o Offerer) (list []Offering, err error) {
	ctx, log := withLogger(ctx, s.sink, s.hidden)
	defer s.recoverPanic(log, &err)
	return o.Offerings(ctx)
}

// offeringsStatus has two words: unavailable, and everything else.
func (s *server) offeringsStatus(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return status.Error(codes.Internal, s.hidden.apply(err.Error()))
	}
	text := e.Message
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	if e.Code == CodeUnavailable {
		return status.Error(codes.Unavailable, s.hidden.apply(text))
	}
	return status.Error(codes.Internal, s.hidden.apply(text))
}
