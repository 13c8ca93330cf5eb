package core_test

import (
	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/osbapi"
)

var _ osbapi.Broker = (*core.Broker)(nil)
