package pluginhost_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// brokerChild is a broker in a process of its own, which tests kill and stop. It serves the one plugin that is
// installed and obeys the lines of its standard input, answering each with one line: "call inputs"
// with the outputs or the error, "keep duration" (of KeepUntil, 0 for no bound). Then it waits for its end.
func brokerChild(role string) {
	dir, state, _ := strings.Cut(role, "|")
	host, err := pluginhost.New(pluginhost.Config{Dir: dir, StateDir: state, Timing: quick})
	if err == nil {
		err = host.Start(context.Background())
	}
	if err == nil {
		err = host.AwaitSettled(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "call":
			r, err := host.Call(context.Background(), core.Call{Backend: host.Status()[0].Name, Verb: core.VerbProvision, InstanceID: "i",
				OperationID: "o", Fence: 1, Seed: bytes.Repeat([]byte{1}, 32), Inputs: []byte(rest)}, nil)
			if err != nil {
				fmt.Println(err)
				continue
			}
			fmt.Printf("%s\n", r.Outputs)
		case "keep":
			d, err := time.ParseDuration(rest)
			var until time.Time
			if d != 0 {
				until = time.Now().Add(d)
			}
			host.KeepUntil(until)
			fmt.Println("kept", err)
		}
	}
	for {
		time.Sleep(time.Hour)
	}
}

// broker is such a process.
type broker struct {
	testing.TB
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

// startBroker starts one over a plugin directory and a state directory; it is killed at the test's end.
func startBroker(t testing.TB, dir, state string) *broker {
	t.Helper()
	b := &broker{TB: t, cmd: exec.Command("/proc/self/exe")}
	b.cmd.Env = append(os.Environ(), fmt.Sprintf("PLUGINHOST_TEST_BROKER=%s|%s", dir, state))
	b.cmd.Stderr = os.Stderr
	out, err1 := b.cmd.StdoutPipe()
	in, err2 := b.cmd.StdinPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	b.in, b.out = in, bufio.NewReader(out)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
	})
	return b
}

func (b *broker) pid() int { return b.cmd.Process.Pid }

// tell sends a line and gives the answer.
func (b *broker) tell(line string) string {
	b.Helper()
	if _, err := io.WriteString(b.in, line+"\n"); err != nil {
		b.Fatal(err)
	}
	answer, err := b.out.ReadString('\n')
	if err != nil {
		b.Fatalf("%s: the broker said %q, %v", line, answer, err)
	}
	return answer
}

// ask makes a call and expects success.
func (b *broker) ask(d do) outputs {
	b.Helper()
	o, answer, ok := b.try(d)
	if !ok {
		b.Fatalf("the broker said %q", answer)
	}
	return o
}

func (b *broker) try(d do) (o outputs, answer string, ok bool) {
	b.Helper()
	inputs, err := json.Marshal(d)
	if err != nil {
		b.Fatal(err)
	}
	answer = b.tell("call " + string(inputs))
	return o, answer, json.Unmarshal([]byte(answer), &o) == nil
}
