package stack

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Gateway is a running e2e/s3gateway.
type Gateway struct {
	*process
	// Endpoint and AdminEndpoint are URLs; Region is what clients sign for.
	Endpoint      string `json:"endpoint"`
	AdminEndpoint string `json:"adminEndpoint"`
	Region        string `json:"region"`
	// AccessKey and SecretKey are the root account's.
	AccessKey string `json:"-"`
	SecretKey string `json:"-"`

	bin, dir string
	log      io.Writer
}

// StartGateway starts bin/s3gateway on dir, which is made if absent, and waits until it serves.
func StartGateway(ctx context.Context, bin, dir string, log io.Writer) (*Gateway, error) {
	g := &Gateway{AccessKey: "gateway-root", SecretKey: randomHex(20), bin: bin, dir: dir, log: log}
	return g, g.start(ctx, 0, 0)
}

// Restart starts the gateway again on the same directory, ports and keys, after Kill or Stop.
func (g *Gateway) Restart(ctx context.Context) error {
	return g.start(ctx, portOf(g.Endpoint), portOf(g.AdminEndpoint))
}

func (g *Gateway) start(ctx context.Context, port, second int) error {
	cmd := exec.Command(filepath.Join(g.bin, "s3gateway"), "-dir", g.dir,
		"-port", strconv.Itoa(port), "-second-port", strconv.Itoa(second))
	cmd.Env = append(os.Environ(), "S3GATEWAY_ACCESS_KEY="+g.AccessKey, "S3GATEWAY_SECRET_KEY="+g.SecretKey)
	cmd.Stderr = g.log
	// A pipe of our own: Cmd's would be closed by Wait under the reader.
	out, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the S3 gateway: %w", err)
	}
	defer out.Close()
	cmd.Stdout = in
	p, err := startProcess("the S3 gateway", cmd)
	_ = in.Close()
	if err != nil {
		return err
	}
	g.process = p
	_ = out.SetReadDeadline(time.Now().Add(2 * time.Minute))
	stop := context.AfterFunc(ctx, func() { _ = out.SetReadDeadline(time.Now()) })
	defer stop()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, g)
	}
	if err != nil {
		p.Kill()
		return fmt.Errorf("the S3 gateway did not become ready: %w", err)
	}
	return nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
