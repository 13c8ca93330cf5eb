package pluginhost

import (
	"strings"
	"testing"
)

func TestHandshakeIsChecked(t *testing.T) {
	cert := strings.Repeat("A", 60)
	for _, c := range []struct {
		name, why     string
		mtls          bool
		line          string
		network, addr string
		ok            bool
	}{
		{"own socket", "the normal case", true, "1|1|unix|/s/p|grpc|" + cert, "unix", "/s/dir/p", true},
		{"another's socket", "it could be anybody's", true, "", "unix", "/run/docker.sock", false},
		{"outside by dots", "a path is cleaned first", true, "", "unix", "/s/dir/../x", false},
		{"loopback with mTLS", "languages without unix sockets", true, "", "tcp", "127.0.0.1:80", true},
		{"loopback without mTLS", "every user of the machine could speak to it", false, "", "tcp", "127.0.0.1:80", false},
		{"another machine", "a plugin is a process here", true, "", "tcp", "10.0.0.1:80", false},
		{"unknown network", "there is no such", true, "", "udp", "127.0.0.1:80", false},
	} {
		child := &child{mtls: c.mtls, socketDir: "/s/dir"}
		if _, _, err := child.PluginToHost(c.network, c.addr); (err == nil) != c.ok {
			t.Errorf("%s: %v: %s", c.name, err, c.why)
		}
	}
	if got := (&child{}).checkedHandshake("1|1|unix|/s/p|grpc|" + cert); got != "1|1|unix|/s/p|grpc|" {
		t.Errorf("a certificate that nobody asked for makes go-plugin panic: %s", got)
	}
	if line := "1|1|unix|/s/p|grpc|" + cert; (&child{mtls: true}).checkedHandshake(line) != line {
		t.Error("the certificate is gone")
	}
}
