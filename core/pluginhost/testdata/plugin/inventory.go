package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// question does what in says, as far as it is the same for all questions.
func question(ctx context.Context, in inputs) error {
	switch in.Do {
	case "wait":
		if in.File != "" {
			if err := os.WriteFile(in.File, nil, 0o600); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	case "status":
		return status.Error(codes.Code(in.N), in.Text)
	case "error":
		s, err := status.New(codes.Unknown, "see the details").WithDetails(
			&pluginpb.Error{Code: pluginpb.Error_Code(in.N), Message: in.Text, Pointer: "/bucket"})
		if err != nil {
			return err
		}
		return s.Err()
	case "die":
		os.Exit(7)
	}
	return nil
}

func (s *server) Inspect(ctx context.Context, r *pluginpb.InspectRequest) (*pluginpb.InspectResponse, error) {
	var in inputs
	if err := json.Unmarshal(r.GetApplied().GetInputs(), &in); err != nil {
		return nil, err
	}
	if err := question(ctx, in); err != nil {
		return nil, err
	}
	answer := &pluginpb.InspectResponse{Exists: in.Do != "gone", Outputs: r.GetApplied().GetOutputs(),
		Drift: []*pluginpb.Drift{{Pointer: "/a", Message: in.Text}}}
	switch in.Do {
	case "many":
		answer.Drift = make([]*pluginpb.Drift, plugin.MaxPage+1)
	case "raw":
		answer.Outputs = []byte(in.Text)
	}
	return answer, nil
}

func (s *server) List(ctx context.Context, r *pluginpb.ListRequest) (*pluginpb.ListResponse, error) {
	var in inputs
	if r.GetPageToken() != "" {
		if err := json.Unmarshal([]byte(r.GetPageToken()), &in); err != nil {
			return nil, err
		}
	}
	if err := question(ctx, in); err != nil {
		return nil, err
	}
	thing := &pluginpb.Found{Name: "photos\x00", InstanceId: "i-1", Inputs: []byte(`{"bucket":"photos"}`), Attributes: []byte(`{"objects":3}`)}
	answer := &pluginpb.ListResponse{Found: []*pluginpb.Found{thing, {Name: "bare"}}, NextPageToken: "next"}
	switch in.Do {
	case "many":
		answer.Found = make([]*pluginpb.Found, plugin.MaxPage+1)
	case "raw":
		thing.Inputs = []byte(in.Text)
	case "token":
		answer.NextPageToken = strings.Repeat("x", plugin.MaxPageToken+1)
	case "id":
		thing.InstanceId = strings.Repeat("x", 10000)
	}
	return answer, nil
}

func (s *server) Adopt(r *pluginpb.InstanceRequest, st stream) error {
	return s.verb(r.GetCallId(), r.GetInputs(), r, st)
}
