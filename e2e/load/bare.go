package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/julienschmidt/httprouter"
)

// bareCommand makes this program the server that the broker is compared with: a process
// of its own, as the broker is one, which does nothing but write the bytes of a file.
const bareCommand = "serve-bare"

// serveBare prints its address and serves the file as a catalog until ctx ends.
func serveBare(ctx context.Context, file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	router := httprouter.New()
	router.GET("/v2/catalog", func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		w.Header().Set("Etag", `"bare"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // an error means that the client hung up
	})
	server := &http.Server{Handler: router}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Println(l.Addr())
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// bareServer is a running serveBare.
type bareServer struct {
	cmd     *exec.Cmd
	address string
}

// startBare starts this program as a bare server of body. The caller stops it.
func startBare(ctx context.Context, dir string, body []byte) (*bareServer, error) {
	file := filepath.Join(dir, "bare.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, bareCommand, file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b := &bareServer{cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("the bare server did not start: %w", err)
	}
	b.address = strings.TrimSpace(line)
	return b, nil
}

func (b *bareServer) connect() (*client, error) { return newClient("http://"+b.address, "", "") }

// stop ends the process and waits for it.
func (b *bareServer) stop() {
	_ = b.cmd.Process.Kill() // an error means that it has ended
	_ = b.cmd.Wait()         // it was killed
}
