package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// eventStream is where a verb's events go.
type eventStream = grpc.ServerStreamingServer[pluginpb.Event]

// call is one call of a verb. A nil call is that of a request made by hand, in a
// test: progress goes nowhere and nothing is hidden.
type call struct {
	server *server
	verb   string
	ctx    context.Context
	log    callLogger
	hidden *mask

	mu    sync.Mutex
	out   eventStream
	ended bool // no more progress: the last event is on its way
}

// newCall makes a call that can be cancelled by id; end must be called when it has returned.
func (s *server) newCall(verb, id string, out eventStream, keys ...any) (c *call, end func()) {
	c = &call{server: s, verb: verb, out: out, hidden: &mask{parent: s.hidden}}
	ctx, end := s.cancels.begin(out.Context(), id)
	c.ctx, c.log = withLogger(ctx, s.sink, c.hidden, append(keys, logVerb, verb)...)
	return c, end
}

// debug logs a line, if lines of this level are logged.
func (c *call) debug(message string, args ...any) {
	if c.server.sink.level <= hclog.Debug {
		c.log().Debug(message, args...)
	}
}

// maxText bounds texts for users, in bytes.
const maxText = 4096

func (c *call) progress(text string, percent int) {
	if c == nil {
		return
	}
	p := &pluginpb.Progress{Text: c.safe(text)}
	if percent >= 0 {
		p.Percent = new(uint32(min(percent, 100)))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	// A broken stream ends ctx, which is how the author hears of it.
	_ = c.out.Send(&pluginpb.Event{Event: &pluginpb.Event_Progress{Progress: p}})
}

func (c *call) hide(values ...string) {
	if c != nil {
		c.hidden.add(values...)
	}
}

// safe makes a text fit to be sent: no secrets, valid UTF-8, not endless.
func (c *call) safe(text string) string {
	text = strings.ToValidUTF8(c.hidden.apply(text), "\uFFFD")
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// run checks what every request has in common and calls the author.
func (c *call) run(instanceID string, inputs, seed []byte, method func() (Result, error)) (r Result, err error) {
	if instanceID == "" {
		return r, status.Error(codes.InvalidArgument, "the instance id is empty")
	}
	if len(seed) != seedSize && len(seed) != 0 {
		return r, status.Errorf(codes.InvalidArgument, "the seed has %d bytes, not %d", len(seed), seedSize)
	}
	if against, ok := c.server.inputs[c.verb]; ok {
		if err := c.server.checkObject("inputs", orEmptyObject(inputs), against); err != nil {
			return r, err
		}
	}
	defer c.server.recoverPanic(c.log, &err)
	return method()
}

// finish sends the last event; its error is the stream's status.
func (c *call) finish(r Result, err error) error {
	event, err := c.event(r, err)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return c.out.Send(event)
}

// event makes the last event of a result.
func (c *call) event(r Result, err error) (*pluginpb.Event, error) {
	if err == nil {
		var event *pluginpb.Event
		if event, err = c.resultEvent(r); err == nil {
			c.debug("call ended", "pending", r.pending)
			return event, nil
		}
		err = Failed("The plugin gave a result that the broker cannot take.").WithCause(err)
	}
	if _, isStatus := status.FromError(err); isStatus {
		return nil, err
	}
	var own *Error
	if cause := c.ctx.Err(); cause != nil && !errors.As(err, &own) {
		c.debug("call was cancelled", "error", err.Error())
		return nil, status.FromContextError(cause).Err()
	}
	e := asError(err, c.verb)
	c.debug("call failed", "code", string(e.Code), "error", e.Error())
	return &pluginpb.Event{Event: &pluginpb.Event_Error{Error: c.errorEvent(e)}}, nil
}

func (c *call) errorEvent(e *Error) *pluginpb.Error {
	out := &pluginpb.Error{
		Code:             wireCodes[e.Code],
		Message:          c.safe(e.Message),
		Detail:           c.safe(e.Detail),
		Pointer:          c.safe(e.Pointer),
		InstanceUsable:   e.Usable,
		UpdateRepeatable: e.Repeatable,
	}
	if e.RetryAfter > 0 {
		out.RetryAfter = durationpb.New(e.RetryAfter)
	}
	return out
}

var wireCodes = map[Code]pluginpb.Error_Code{
	CodeInvalidInput: pluginpb.Error_CODE_INVALID_INPUT,
	CodeConflict:     pluginpb.Error_CODE_CONFLICT,
	CodeNotFound:     pluginpb.Error_CODE_NOT_FOUND,
	CodeUnavailable:  pluginpb.Error_CODE_UNAVAILABLE,
	CodeFailed:       pluginpb.Error_CODE_FAILED,
}

func (c *call) resultEvent(r Result) (*pluginpb.Event, error) {
	if r.pending {
		handle, err := encodeHandle(c.server.description.Version, r.value)
		if err != nil {
			return nil, err
		}
		return &pluginpb.Event{Event: &pluginpb.Event_Pending{Pending: &pluginpb.Pending{
			Handle:     handle,
			RetryAfter: durationpb.New(max(r.retryAfter, 0)),
			Text:       c.safe(r.text),
		}}}, nil
	}
	done := &pluginpb.Done{DashboardUrl: r.dashboardURL}
	var err error
	if done.Outputs, err = c.outputs(r.value); err != nil {
		return nil, err
	}
	if done.Labels, err = encodeMetadata("labels", r.labels); err != nil {
		return nil, err
	}
	if done.Attributes, err = encodeMetadata("attributes", r.attributes); err != nil {
		return nil, err
	}
	for _, left := range r.left {
		done.Left = append(done.Left, c.safe(left))
	}
	return &pluginpb.Event{Event: &pluginpb.Event_Done{Done: done}}, nil
}

// outputs encodes and checks them. What breaks the declared schema is only logged:
// the thing exists, and plugintest is where the mistake is found.
func (c *call) outputs(value any) (json.RawMessage, error) {
	against, has := c.server.outputs[c.verb]
	if !has { // deprovision and unbind
		return nil, nil
	}
	raw, err := encodeObject("outputs", value)
	if err != nil {
		return nil, err
	}
	raw = orEmptyObject(raw)
	c.hide(against.secrets(raw)...)
	if found := against.validate(raw); len(found) > 0 {
		c.log().Warn("the outputs do not satisfy the declared schema", "violations", describeViolations(found))
	}
	return raw, nil
}

func encodeMetadata(what string, m map[string]any) (json.RawMessage, error) {
	if len(m) == 0 {
		return nil, nil
	}
	return encodeObject(what, m)
}

// envelope is a handle as the broker stores it: with the version that wrote it.
type envelope struct {
	Version string          `json:"plugin"`
	Handle  json.RawMessage `json:"handle"`
}

func encodeHandle(version string, value any) (json.RawMessage, error) {
	inner, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode handle: %w", err)
	}
	raw, err := json.Marshal(envelope{Version: version, Handle: inner})
	if err != nil {
		return nil, fmt.Errorf("encode handle: %w", err)
	}
	if len(raw) > MaxDocument {
		return nil, fmt.Errorf("the handle is %d bytes; at most %d are allowed", len(raw), MaxDocument)
	}
	return raw, nil
}

// decodeHandle refuses what a version wrote that this one does not read: calling on
// without the handle could make a thing twice. The operator can put back the version
// that wrote it, so the error is one that the broker repeats.
func (s *server) decodeHandle(raw []byte) (Handle, error) {
	if len(raw) == 0 {
		return Handle{}, nil
	}
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil || e.Version == "" {
		return Handle{}, Failed("The plugin cannot read what it stored about this operation.").
			WithDetail("the handle is not one of this plugin")
	}
	if !s.reads(e.Version) {
		return Handle{}, Unavailable(time.Minute, "The plugin cannot go on with what another version of it began.").
			WithDetail("version %s wrote the handle; version %s reads %q", e.Version, s.description.Version, s.description.ReadsVersions)
	}
	if string(e.Handle) == "null" {
		e.Handle = nil
	}
	return Handle{Document: Document{raw: e.Handle, lenient: true, what: "handle"}, Version: e.Version}, nil
}

func (s *server) reads(version string) bool {
	if version == s.description.Version {
		return true
	}
	for _, prefix := range s.description.ReadsVersions {
		if strings.HasPrefix(version, prefix) {
			return true
		}
	}
	return false
}
