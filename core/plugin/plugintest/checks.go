package plugintest

import (
	"context"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// checks lists all checks. Their names are part of the interface: Config.Only.
func checks() []check {
	return []check{
		{"handshake", "the plugin starts, speaks protocol version 1 over gRPC, and answers Health", checkHandshake},
		{"describe", "it says truthfully what it is, before it is configured", checkDescribe},
		{"configure", "it takes the configuration and refuses a wrong one as invalid", checkConfigure},
		{"offerings", "the services that it brings can be read and have ids and names of their own", checkOfferings},
		{"provision", "a repeat gives the same outputs and makes nothing twice", checkProvision},
		{"update", "an update can be repeated and taken back", checkUpdate},
		{"bind", "a repeat gives the same credentials, or fresh ones that replace them", checkBind},
		{"unbind", "credentials end, and only those of the binding", checkUnbind},
		{"deprovision", "an instance ends, and its id can be used again", checkDeprovision},
		{"unknown-ids", "what does not exist is removed at once", checkUnknownIDs},
		{"any-id", "ids may hold any character", checkAnyID},
		{"side-by-side", "calls for different instances run side by side", checkSideBySide},
		{"bad-inputs", "inputs against the schema are invalid_input with a pointer", checkBadInputs},
		{"check", "a deprovision with check changes nothing", checkCheck},
		{"inspect", "Inspect changes nothing, and finds no difference after a provision", checkInspect},
		{"list", "List contains what was provisioned and not what was deprovisioned", checkList},
		{"adopt", "Adopt takes what is nobody's, refuses what another instance has, and changes nothing then", checkAdopt},
		{"versions", "outputs of the versions that it says it reads can be read", checkVersions},
		{"fence", "a call that was overtaken does not undo what came later", checkFence},
		{"cancel", "a cancelled call returns soon, and a repeat converges", checkCancel},
		{"kill", "after kill -9 at any moment a repeat of the call converges", checkKill},
		{"kill-then-remove", "after kill -9 in the middle, removing leaves nothing behind", checkKillThenRemove},
		{"lost-handle", "a call whose handle was never stored can be repeated without it", checkLostHandle},
		{"interrupt", "SIGINT, which a terminal sends to children too, is ignored", checkInterrupt},
		{"terminate", "SIGTERM ends the process", checkTerminate},
		{"no-orphans", "the process and what it started end with the broker", checkNoOrphans},
		{"secrets", "declared secrets are in no log, progress, message or status", checkSecrets},
	}
}

func checkHandshake(t *trial) {
	p := t.start()
	if v := p.client.NegotiatedVersion(); v != plugin.ProtocolVersion {
		t.errorf("it negotiated protocol version %d", v)
	}
	t.health(p)
}

func (t *trial) health(p *process) {
	ctx, cancel := context.WithTimeout(t.ctx, t.config.CancelWithin)
	defer cancel()
	if _, err := p.rpc.Health(ctx, &pluginpb.HealthRequest{}); err != nil {
		t.errorf("Health: %v", err)
	}
}

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	semverPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

func checkDescribe(t *trial) {
	p := t.start()
	d := t.describeProcess(p)
	if !proto.Equal(d, t.describeProcess(p)) || !proto.Equal(d, t.describeProcess(t.start())) {
		t.errorf("it describes itself differently when it is asked again")
	}
	if !namePattern.MatchString(d.GetName()) {
		t.errorf("the name %q is not of the form [a-z0-9-]+", d.GetName())
	}
	if of, ok := strings.CutPrefix(filepath.Base(t.config.Command[0]), "chandler-plugin-"); ok && of != d.GetName() {
		t.errorf("the name %q is not that of the executable, chandler-plugin-%s", d.GetName(), of)
	}
	if !semverPattern.MatchString(d.GetVersion()) {
		t.errorf("the version %q is not a semantic version such as 1.2.0", d.GetVersion())
	}
	for what, schema := range map[string][]byte{
		"config_schema":           d.GetConfigSchema(),
		"provision_inputs_schema": d.GetProvisionInputsSchema(),
		"bind_inputs_schema":      d.GetBindInputsSchema(),
		"instance_outputs_schema": d.GetInstanceOutputsSchema(),
		"binding_outputs_schema":  d.GetBindingOutputsSchema(),
	} {
		if _, err := plugin.Violations(schema, json.RawMessage(`{}`)); err != nil {
			t.errorf("%s: %v", what, err)
		}
	}
	for what, given := range map[string]struct{ schema, inputs json.RawMessage }{
		"provision": {d.GetProvisionInputsSchema(), t.config.Provision},
		"update":    {d.GetProvisionInputsSchema(), t.config.Update},
		"bind":      {d.GetBindInputsSchema(), t.config.Bind},
		"config":    {d.GetConfigSchema(), t.config.Config},
	} {
		if len(given.inputs) == 0 {
			continue
		}
		if found, err := plugin.Violations(given.schema, given.inputs); err == nil && len(found) > 0 {
			t.errorf("the given %s does not satisfy the declared schema at %q: %s", what, found[0].Pointer, found[0].Message)
		}
	}
}

func checkConfigure(t *trial) {
	t.plugin()
	bad := badInputs(t.describe().GetConfigSchema(), t.config.Config)
	const enough = 3 // each needs a process of its own
	for _, b := range bad[:min(enough, len(bad))] {
		p := t.start()
		err := t.configure(p, b.document)
		if status.Code(err) != codes.InvalidArgument {
			t.errorf("Configure with %s: expected status InvalidArgument, got %v", b.what, err)
		}
		p.kill()
	}
	if !t.describe().GetRequiresConfiguration() && len(t.describe().GetConfigSchema()) > 0 {
		p := t.start()
		if err := t.configure(p, json.RawMessage(`{}`)); err != nil {
			t.errorf("it says that it needs no configuration, but: %v", err)
		}
		p.kill()
	}
}

func checkSecrets(t *trial) {
	t.describe()
	leaks, secrets := t.transcript.leaks()
	for _, leak := range leaks {
		t.errorf("%s", leak)
	}
	if secrets == 0 {
		t.skipf(`no secrets were seen: outputs and configuration are marked with "writeOnly": true`)
	}
}
