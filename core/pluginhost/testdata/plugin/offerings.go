package main

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

func (s *server) Offerings(context.Context, *pluginpb.OfferingsRequest) (*pluginpb.OfferingsResponse, error) {
	switch {
	case s.v.HangInOfferings:
		time.Sleep(time.Hour)
	case s.v.OfferingsFail != "":
		return nil, status.Error(codes.Internal, s.v.OfferingsFail)
	}
	r := &pluginpb.OfferingsResponse{}
	for name, yaml := range s.v.Offerings {
		r.Offerings = append(r.Offerings, &pluginpb.Offering{Name: name, Yaml: []byte(yaml)})
	}
	return r, nil
}
