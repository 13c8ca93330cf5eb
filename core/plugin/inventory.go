package plugin

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// Inspector is implemented by plugins that can look at what exists for an instance; it
// announces the capability "inspect".
type Inspector interface {
	// Inspect says what exists at the backend and how it differs from what was applied.
	// It must not change anything, and answers at once: the broker's operators wait for it.
	// It may run beside a verb of the same instance.
	Inspect(ctx context.Context, req *InspectRequest) (Inspection, error)
}

// Lister is implemented by plugins that can say what exists at the backend; it announces
// the capability "list".
type Lister interface {
	// List names what carries the plugin's mark and what could be adopted, page by page.
	// It must not change anything. A page token that it does not know is [InvalidInput].
	List(ctx context.Context, req *ListRequest) (Page, error)
}

// Adopter is implemented by plugins that can make something that exists at the backend an
// instance; it announces the capability "adopt".
type Adopter interface {
	// Adopt marks what the inputs name as the instance's and is done with the outputs
	// that Provision with the same inputs gives. What carries another instance's mark is
	// a [Conflict], what does not exist [NotFound]. An Adopt that ends with one of these, or with
	// [InvalidInput], has left everything as it was: it looks first and marks then, and takes
	// its own mark off again where it must refuse later. The broker never calls Deprovision
	// for a failed Adopt: what was there before is not the broker's to remove.
	Adopt(ctx context.Context, req *InstanceRequest) (Result, error)
}

// InspectRequest is what Inspect gets.
type InspectRequest struct {
	InstanceID string
	// Applied is what was applied last.
	Applied Applied
}

// Inspection is what Inspect found.
type Inspection struct {
	// Exists says that something that is provably the instance's exists.
	Exists bool
	// Outputs are what Provision would give now, as in [Done]; nil if it does not exist.
	Outputs any
	// Drift is every difference between what was applied and what is.
	Drift []Drift
}

// Drift is one difference.
type Drift struct {
	// Pointer is a JSON pointer into the applied inputs, e.g. "/versioning"; "" if it is of the whole.
	Pointer string
	// Message says what is different, in words for the operator; no secrets.
	Message string
}

// ListRequest is what List gets.
type ListRequest struct {
	// PageToken is Page.Next of the page before; empty for the first one.
	PageToken string
	// PageSize is how many things the broker wants at most; 0 leaves it to the plugin.
	PageSize int
}

// MaxPage bounds the things on one page; MaxPageToken its token, in bytes.
const (
	MaxPage      = 1000
	MaxPageToken = 4096
)

// Page is one page of what exists. It may be empty without being the last one.
type Page struct {
	Found []Found
	Next  string // empty on the last page
}

// Found is one thing at the backend that is, was or can become an instance.
type Found struct {
	// Name is what operators know it by.
	Name string
	// InstanceID is the instance whose mark it carries; empty if it carries none, or one
	// that does not give the id away.
	InstanceID string
	// Marked says that it carries a mark of this plugin.
	Marked bool
	// Inputs are the x-unique inputs that name it, and those to adopt it with: anything that
	// encodes as a JSON object; nil if there are none.
	Inputs any
	// Attributes are size, age and the like, texts and numbers; may be nil.
	Attributes map[string]any
}

// Adopt serves the verb.
func (s *server) Adopt(in *pluginpb.InstanceRequest, out eventStream) error {
	a, ok := s.plugin.(Adopter)
	if !ok {
		return status.Error(codes.Unimplemented, `the plugin has no capability "adopt"`)
	}
	return s.instance(verbAdopt, in, out, a.Adopt)
}

// Inspect asks the author.
func (s *server) Inspect(ctx context.Context, in *pluginpb.InspectRequest) (*pluginpb.InspectResponse, error) {
	i, ok := s.plugin.(Inspector)
	if !ok {
		return nil, status.Error(codes.Unimplemented, `the plugin has no capability "inspect"`)
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.running.Done()
	if in.GetInstanceId() == "" {
		return nil, status.Error(codes.InvalidArgument, "the instance id is empty")
	}
	c := s.asked(ctx, verbInspect, logInstance, in.GetInstanceId())
	c.hideApplied(verbProvision, in.GetApplied())
	var got Inspection
	err := c.author(func() (err error) {
		got, err = i.Inspect(c.ctx, &InspectRequest{InstanceID: in.GetInstanceId(), Applied: applied(in.GetApplied())})
		return err
	})
	answer := &pluginpb.InspectResponse{Exists: got.Exists}
	if err == nil && got.Exists {
		answer.Outputs, err = c.outputs(got.Outputs)
	}
	if err != nil {
		return nil, c.status(err)
	}
	for _, d := range got.Drift {
		answer.Drift = append(answer.Drift, &pluginpb.Drift{Pointer: c.safe(d.Pointer), Message: c.safe(d.Message)})
	}
	return answer, nil
}

// List asks the author.
func (s *server) List(ctx context.Context, in *pluginpb.ListRequest) (*pluginpb.ListResponse, error) {
	l, ok := s.plugin.(Lister)
	if !ok {
		return nil, status.Error(codes.Unimplemented, `the plugin has no capability "list"`)
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.running.Done()
	c := s.asked(ctx, verbList)
	var page Page
	err := c.author(func() (err error) {
		page, err = l.List(c.ctx, &ListRequest{PageToken: in.GetPageToken(), PageSize: int(min(in.GetPageSize(), MaxPage))})
		return err
	})
	if err != nil {
		return nil, c.status(err)
	}
	answer, err := c.page(page)
	if err != nil {
		return nil, c.status(Failed("The plugin gave a page that the broker cannot take.").WithCause(err))
	}
	return answer, nil
}

// asked makes the call of a question, which has no events and no id to be cancelled by.
func (s *server) asked(ctx context.Context, verb string, keys ...any) *call {
	c := &call{server: s, verb: verb, hidden: &mask{parent: s.hidden}}
	c.ctx, c.log = withLogger(ctx, s.sink, c.hidden, append(keys, logVerb, verb)...)
	return c
}

// author calls the author's method.
func (c *call) author(method func() error) (err error) {
	defer c.server.recoverPanic(c.log, &err)
	return method()
}

// page checks and encodes a page.
func (c *call) page(p Page) (*pluginpb.ListResponse, error) {
	if len(p.Found) > MaxPage {
		return nil, fmt.Errorf("the page has %d things; at most %d are allowed", len(p.Found), MaxPage)
	}
	if len(p.Next) > MaxPageToken {
		return nil, fmt.Errorf("the page token has %d bytes; at most %d are allowed", len(p.Next), MaxPageToken)
	}
	answer := &pluginpb.ListResponse{NextPageToken: p.Next}
	for _, f := range p.Found {
		found := &pluginpb.Found{Name: c.safe(f.Name), InstanceId: f.InstanceID, Marked: f.Marked || f.InstanceID != ""}
		var err error
		if found.Inputs, err = encodeObject("inputs", f.Inputs); err != nil {
			return nil, fmt.Errorf("%s: %w", found.Name, err)
		}
		if found.Attributes, err = encodeMetadata("attributes", f.Attributes); err != nil {
			return nil, fmt.Errorf("%s: %w", found.Name, err)
		}
		answer.Found = append(answer.Found, found)
	}
	return answer, nil
}

// statusCodes are the gRPC codes of a question's errors, for brokers that do not read the details.
var statusCodes = map[Code]codes.Code{
	CodeInvalidInput: codes.InvalidArgument,
	CodeConflict:     codes.FailedPrecondition,
	CodeNotFound:     codes.NotFound,
	CodeUnavailable:  codes.Unavailable,
	CodeFailed:       codes.Internal,
}

// status makes an error the status of a question; the Error itself is in its details.
func (c *call) status(err error) error {
	var own *Error
	if cause := c.ctx.Err(); cause != nil && !errors.As(err, &own) {
		return status.FromContextError(cause).Err()
	}
	e := asError(err, c.verb)
	c.debug("call failed", "code", string(e.Code), "error", e.Error())
	s := status.New(statusCodes[e.Code], c.safe(e.Message))
	if detailed, err := s.WithDetails(c.errorEvent(e)); err == nil {
		s = detailed
	}
	return s.Err()
}
