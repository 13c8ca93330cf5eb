package stack

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// BrokerOptions say how to run `chandler serve`. Bin, Dir, Catalog and Templates are required.
type BrokerOptions struct {
	Bin       string // directory with chandler
	Plugins   string // directory with chandler-plugin-…; default Bin
	Dir       string // configuration and state go here
	Catalog   string
	Templates string
	Port      int      // 0 chooses a free one, kept over restarts
	Gateway   *Gateway // nil: no gluster-s3 backend
	// DSN is a PostgreSQL database that the broker shares with others; "" is SQLite. Brokers
	// side by side need a Dir each.
	DSN string
	// Open leaves authentication out (loopback only): for playing.
	Open bool
	// Config is YAML that is added to the configuration file.
	Config string
	// MasterKey is the file of the store's master key, which is made if it is absent.
	// Default: one in Dir. Several brokers over one database need the same.
	MasterKey string
	// Args are added to the arguments of each start.
	Args []string
	Env  []string
	Log  io.Writer
}

// Broker is a running `chandler serve`.
type Broker struct {
	*process
	URL string
	// User and Operator may call OSB and /admin/v1; the password is the same for both.
	User, Operator, Password string
	// ConfigFile is the path of the configuration; LogFile is where the log goes if Log was nil.
	ConfigFile, LogFile string

	options BrokerOptions
}

// StartBroker writes a configuration, starts the broker and waits until it is ready.
func StartBroker(ctx context.Context, o BrokerOptions) (*Broker, error) {
	if o.Plugins == "" {
		o.Plugins = o.Bin
	}
	if o.Port == 0 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		o.Port = port
	}
	b := &Broker{URL: "http://127.0.0.1:" + strconv.Itoa(o.Port), options: o,
		ConfigFile: filepath.Join(o.Dir, "chandler.yaml"), LogFile: filepath.Join(o.Dir, "broker.log")}
	if !o.Open {
		b.User, b.Operator, b.Password = "platform", "operator", randomHex(16)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the broker's directory: %w", err)
	}
	if err := b.masterKey(ctx); err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.ConfigFile, []byte(b.configuration()), 0o600); err != nil {
		return nil, fmt.Errorf("write the broker's configuration: %w", err)
	}
	return b, b.Restart(ctx)
}

func (b *Broker) configuration() string {
	o := b.options
	var s strings.Builder
	fmt.Fprintf(&s, "listen: 127.0.0.1:%d\nstate: %q\ncatalog: %q\ntemplates: %q\nplugins: {directory: %q}\n",
		o.Port, filepath.Join(o.Dir, "state"), o.Catalog, o.Templates, o.Plugins)
	if !o.Open {
		s.WriteString("users:\n- {name: platform, passwords: ['${env:STACK_PASSWORD}']}\n" +
			"- {name: operator, passwords: ['${env:STACK_PASSWORD}'], role: operator}\n")
	}
	if o.DSN != "" {
		s.WriteString("store: {driver: postgres, dsn: '${env:STACK_DSN}'}\n")
	}
	if g := o.Gateway; g != nil {
		fmt.Fprintf(&s, "backends:\n  gluster-s3:\n    plugin: gluster-s3\n    config:\n      endpoint: %s\n      adminEndpoint: %s\n"+
			"      region: %s\n      accounts: versitygw\n      accessKeyID: ${env:STACK_S3_ACCESS_KEY}\n      secretAccessKey: ${env:STACK_S3_SECRET_KEY}\n",
			g.Endpoint, g.AdminEndpoint, g.Region)
	}
	if !strings.Contains(o.Config, "encryption:") {
		fmt.Fprintf(&s, "encryption: {masterKeys: ['${file:%s}']}\n", o.MasterKey)
	}
	s.WriteString(o.Config)
	return s.String()
}

// masterKey makes the master key as a user would, unless there is one.
func (b *Broker) masterKey(ctx context.Context) error {
	o := &b.options
	if o.MasterKey == "" {
		o.MasterKey = filepath.Join(o.Dir, "master.key")
	}
	if _, err := os.Stat(o.MasterKey); err == nil || strings.Contains(o.Config, "encryption:") {
		return nil
	}
	out, err := exec.CommandContext(ctx, filepath.Join(o.Bin, "chandler"), "keys", "create", o.MasterKey).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a master key: %w\n%s", err, out)
	}
	return nil
}

// Restart starts the broker again on the same state, after Kill or Stop, and waits until it is ready.
func (b *Broker) Restart(ctx context.Context) error {
	log := b.options.Log
	if log == nil {
		file, err := os.OpenFile(b.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("open the broker's log: %w", err)
		}
		defer file.Close()
		log = file
	}
	cmd := exec.Command(filepath.Join(b.options.Bin, "chandler"), append([]string{"serve", "--config", b.ConfigFile}, b.options.Args...)...)
	cmd.Env = append(append(os.Environ(), "STACK_PASSWORD="+b.Password, "STACK_DSN="+b.options.DSN), b.options.Env...)
	if g := b.options.Gateway; g != nil {
		cmd.Env = append(cmd.Env, "STACK_S3_ACCESS_KEY="+g.AccessKey, "STACK_S3_SECRET_KEY="+g.SecretKey)
	}
	cmd.Stdout, cmd.Stderr = log, log
	p, err := startProcess("the broker", cmd)
	if err != nil {
		return err
	}
	b.process = p
	if err := b.waitReady(ctx); err != nil {
		p.Kill()
		return fmt.Errorf("%w; its log ends:\n%s", err, tail(b.LogFile, 20))
	}
	return nil
}

func (b *Broker) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-b.ended:
			return fmt.Errorf("the broker ended before it was ready: %v", b.err)
		case <-ctx.Done():
			return fmt.Errorf("the broker did not become ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// ClientEnv is the environment in which the command line finds the broker, as user or, with operator, as operator.
func (b *Broker) ClientEnv(operator bool) []string {
	user := b.User
	if operator {
		user = b.Operator
	}
	return []string{"CHANDLER_URL=" + b.URL, "CHANDLER_USER=" + user, "CHANDLER_PASSWORD=" + b.Password}
}

// tail gives the last lines of a file; "" if it cannot be read.
func tail(file string, lines int) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func portOf(address string) int {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(u.Port()) // 0 chooses a free one
	return port
}
