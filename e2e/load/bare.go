package main

import (
	"bufio"
	"context"
	"encoding/json"
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
// of its own, as the broker is one, which does nothing but write what a file says.
const bareCommand = "serve-bare"

// bareAnswer is what a bare server writes: the body, and the header with either status.
type bareAnswer struct {
	Body   []byte
	Header map[int]http.Header
}

// serveBare prints its address and serves the file's answer as a catalog until ctx ends.
func serveBare(ctx context.Context, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var answer bareAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	router := httprouter.New()
	router.GET("/v2/catalog", func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		status := http.StatusOK
		if r.Header.Get("If-None-Match") != "" {
			status = http.StatusNotModified
		}
		header := w.Header()
		for name, values := range answer.Header[status] {
			header[name] = values
		}
		w.WriteHeader(status)
		if status == http.StatusOK {
			_, _ = w.Write(answer.Body) // an error means that the client hung up
		}
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

// startBare starts this program as a bare server of an answer. The caller stops it.
func startBare(ctx context.Context, dir string, answer bareAnswer) (*bareServer, error) {
	raw, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "bare.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
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

// stop ends the process and waits for it.
func (b *bareServer) stop() {
	_ = b.cmd.Process.Kill() // an error means that it has ended
	_ = b.cmd.Wait()         // it was killed
}
