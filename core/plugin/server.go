package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// server turns the wire's calls into calls of the author's methods.
type server struct {
	pluginpb.UnimplementedPluginServer

	plugin      Plugin
	description Description
	config      *schema
	inputs      map[string]*schema // by verb; without those that are not checked
	outputs     map[string]*schema // by verb
	sink        logSink
	hidden      *mask // secrets of the configuration

	cancels cancels

	configuring sync.Mutex // held while the author's Configure runs

	mu         sync.Mutex
	configured bool
	draining   bool
	running    sync.WaitGroup // verbs in flight
}

var _ pluginpb.PluginServer = (*server)(nil)

// NewServer gives the server that [Serve] serves, for tests that call a plugin in
// process. It logs to log. It fails if the description is wrong; every mistake is named.
func NewServer(c ServeConfig, log io.Writer) (pluginpb.PluginServer, error) {
	return newServer(c, log)
}

func newServer(c ServeConfig, log io.Writer) (*server, error) {
	d := c.Description
	if d.ReadsVersions == nil {
		d.ReadsVersions = sameMajor(d.Version)
	}
	s := &server{plugin: c.Plugin, description: d, sink: newLogSink(log), hidden: &mask{}}
	problems := []error{checkDescription(c)}
	compile := func(name string, raw json.RawMessage) *schema {
		compiled, err := compileSchema(name, raw)
		problems = append(problems, err)
		return compiled
	}
	s.config = compile("the configuration", d.Config)
	provision := compile("the provision inputs", d.ProvisionInputs)
	instance := compile("the instance outputs", d.InstanceOutputs)
	s.inputs = map[string]*schema{
		verbProvision: provision,
		verbUpdate:    provision,
		verbAdopt:     provision,
		verbBind:      compile("the bind inputs", d.BindInputs),
	}
	s.outputs = map[string]*schema{
		verbProvision: instance,
		verbUpdate:    instance,
		verbAdopt:     instance,
		verbInspect:   instance,
		verbBind:      compile("the binding outputs", d.BindingOutputs),
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return s, nil
}

// The verbs, as on the wire and in logs.
const (
	verbProvision   = "provision"
	verbUpdate      = "update"
	verbDeprovision = "deprovision"
	verbBind        = "bind"
	verbUnbind      = "unbind"
	verbAdopt       = "adopt"
	verbInspect     = "inspect"
	verbList        = "list"
)

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
		`(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
)

func checkDescription(c ServeConfig) error {
	var problems []error
	if c.Plugin == nil {
		problems = append(problems, errors.New("there is no Plugin"))
	}
	if !namePattern.MatchString(c.Description.Name) {
		problems = append(problems, fmt.Errorf("the name %q is not of the form [a-z0-9-]+", c.Description.Name))
	}
	if !versionPattern.MatchString(c.Description.Version) {
		problems = append(problems, fmt.Errorf("the version %q is not a semantic version such as 1.2.0", c.Description.Version))
	}
	if c.Description.MaxConcurrency < 0 {
		problems = append(problems, errors.New("MaxConcurrency is negative"))
	}
	if _, ok := c.Plugin.(Configurer); !ok && len(c.Description.Config) > 0 {
		problems = append(problems, errors.New("there is a configuration schema but no method Configure"))
	}
	return errors.Join(problems...)
}

// sameMajor is the default of Description.ReadsVersions.
func sameMajor(version string) []string {
	for i, r := range version {
		if r == '.' {
			return []string{version[:i+1]}
		}
	}
	return nil
}

// capabilities are the optional interfaces that the author implements.
func capabilities(p Plugin) (list []string) {
	has := func(capability string, ok bool) {
		if ok {
			list = append(list, capability)
		}
	}
	_, checks := p.(Checker)
	has("check", checks)
	_, inspects := p.(Inspector)
	has("inspect", inspects)
	_, lists := p.(Lister)
	has("list", lists)
	_, adopts := p.(Adopter)
	has("adopt", adopts)
	_, offers := p.(Offerer)
	has("offerings", offers)
	return list
}

// Describe answers from the description alone.
func (s *server) Describe(context.Context, *pluginpb.DescribeRequest) (*pluginpb.DescribeResponse, error) {
	d := s.description
	return &pluginpb.DescribeResponse{
		Name:                  d.Name,
		Version:               d.Version,
		Capabilities:          capabilities(s.plugin),
		ConfigSchema:          d.Config,
		ProvisionInputsSchema: d.ProvisionInputs,
		BindInputsSchema:      d.BindInputs,
		InstanceOutputsSchema: d.InstanceOutputs,
		BindingOutputsSchema:  d.BindingOutputs,
		MaxConcurrency:        uint32(d.MaxConcurrency),
		SerializeInstance:     d.SerializeInstance,
		Isolated:              d.Isolated,
		RequiresConfiguration: d.RequiresConfiguration,
		ReadsVersions:         d.ReadsVersions,
	}, nil
}

// Health answers as long as the process can.
func (s *server) Health(context.Context, *pluginpb.HealthRequest) (*pluginpb.HealthResponse, error) {
	return &pluginpb.HealthResponse{}, nil
}

// Configure checks the configuration and hands it to the author.
func (s *server) Configure(ctx context.Context, in *pluginpb.ConfigureRequest) (*pluginpb.ConfigureResponse, error) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	if s.isConfigured() {
		return nil, status.Error(codes.FailedPrecondition, "the process is configured already; a changed configuration needs a new process")
	}
	config := orEmptyObject(in.GetConfig())
	s.hidden.add(SecretValues(s.description.Config, config)...)
	if err := s.checkObject("configuration", config, s.config); err != nil {
		return nil, s.configureStatus(err)
	}
	req := &ConfigureRequest{
		Backend:       in.GetBackend(),
		Config:        Document{raw: config, what: "configuration"},
		DataDirectory: in.GetDataDirectory(),
	}
	if err := s.configure(ctx, req); err != nil {
		return nil, s.configureStatus(err)
	}
	s.mu.Lock()
	s.configured = true
	s.mu.Unlock()
	return &pluginpb.ConfigureResponse{Isolated: req.isolated}, nil
}

func (s *server) isConfigured() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.configured
}

func (s *server) configure(ctx context.Context, req *ConfigureRequest) (err error) {
	c, ok := s.plugin.(Configurer)
	if !ok {
		return nil
	}
	ctx, log := withLogger(ctx, s.sink, s.hidden)
	defer s.recoverPanic(log, &err)
	return c.Configure(ctx, req)
}

// configureStatus has two words: invalid, which the broker refuses, and unavailable.
func (s *server) configureStatus(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return status.Error(codes.Unavailable, s.hidden.apply(err.Error()))
	}
	text := e.Message
	if e.Pointer != "" {
		text = e.Pointer + ": " + text
	}
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	switch e.Code {
	case CodeInvalidInput, CodeConflict, CodeNotFound:
		return status.Error(codes.InvalidArgument, s.hidden.apply(text))
	}
	return status.Error(codes.Unavailable, s.hidden.apply(text))
}

// begin lets a verb in. Its error is a gRPC status.
func (s *server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return status.Error(codes.Unavailable, "the plugin process is stopping")
	}
	if _, ok := s.plugin.(Configurer); ok && !s.configured {
		return status.Error(codes.FailedPrecondition, "the plugin was not configured")
	}
	s.running.Add(1)
	return nil
}

// drain lets no more verbs in and gives a channel that closes when all have returned.
func (s *server) drain() <-chan struct{} {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	return done
}

// checkObject checks size, kind and schema of what the broker sent.
func (s *server) checkObject(what string, raw json.RawMessage, against *schema) error {
	if len(raw) > MaxDocument {
		return InvalidInput("", "The %s are %d bytes; at most %d are allowed.", what, len(raw), MaxDocument)
	}
	found := against.validate(raw)
	if len(found) == 0 {
		return nil
	}
	e := InvalidInput(found[0].Pointer, "The %s are not valid: %s.", what, describeViolations(found))
	return e
}

// recoverPanic turns a panic of the author's code into an error; the stack is for the log.
func (s *server) recoverPanic(log callLogger, err *error) {
	p := recover()
	if p == nil {
		return
	}
	log().Error("the plugin panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	*err = Failed("The plugin stopped working on this by mistake.").WithDetail("panic: %v", p)
}
