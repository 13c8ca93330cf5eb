package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// SQLiteConfig says where the database is and how it is used.
type SQLiteConfig struct {
	// Path is the database file. Its directory is made if it is missing. Beside it
	// live Path-wal and Path-shm, which belong to the database, and Path.lock.
	Path string
	// Cipher seals the secret columns. Nil stores them as they are.
	Cipher Cipher
	// Readers is how many Views run at once; more wait. Default: the number of CPUs, at least 4.
	Readers int
	// Queue is how many Updates may wait for the writer before more are refused
	// with core.CodeOverloaded. Default 4096.
	Queue int
	// BusyTimeout is how long to wait for another program that holds a lock on the
	// database, such as a backup. Default 5 s.
	BusyTimeout time.Duration
	// Now gives the time by which leases end, and for the record of migrations. Default time.Now.
	Now func() time.Time
}

func (c SQLiteConfig) withDefaults() SQLiteConfig {
	if c.Cipher == nil {
		c.Cipher = plainCipher{}
	}
	if c.Readers <= 0 {
		c.Readers = max(4, runtime.NumCPU())
	}
	if c.Queue <= 0 {
		c.Queue = 4096
	}
	if c.BusyTimeout <= 0 {
		c.BusyTimeout = 5 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// SQLite is a core.Store in one file, for one process at a time.
type SQLite struct {
	lock    *fileLock
	writer  *writer
	readers chan *session // the free ones
	leases
	hearers hearers

	mu     sync.RWMutex // guards closed against calls that begin
	closed bool
	views  sync.WaitGroup
}

var _ core.Store = (*SQLite)(nil)

// OpenSQLite opens the database, making it if there is none, and brings its
// schema up to date. It fails with a *core.Error if another process has it open,
// if a newer program has used it, or if the file is something else. The caller
// closes the store. Nothing else in this process may open and close the database's
// files meanwhile: POSIX drops the locks of a process with any close of the file.
func OpenSQLite(ctx context.Context, config SQLiteConfig) (*SQLite, error) {
	config = config.withDefaults()
	path, err := preparePath(config.Path)
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", config.Path, err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &SQLite{lock: lock, readers: make(chan *session, config.Readers)}
	s.leases = leases{transactions: transactions{s.updateOwn, s.updateOwn, s.viewOwn}, made: map[string]bool{}}
	if err := s.open(ctx, path, config); err != nil {
		s.release()
		return nil, err
	}
	go s.writer.loop()
	return s, nil
}

// open opens the connections and migrates. The lock is held.
func (s *SQLite) open(ctx context.Context, path string, config SQLiteConfig) error {
	if err := createPrivate(path); err != nil {
		return fmt.Errorf("open the store %s: %w", path, err)
	}
	session, err := openSession(ctx, dsn(path, config, false))
	if err != nil {
		return fmt.Errorf("open the store %s: %w", path, err)
	}
	session.clock = config.Now
	s.writer = &writer{session: session, cipher: config.Cipher, queue: make(chan *member, config.Queue),
		quit: make(chan struct{}), done: make(chan struct{})}
	fresh, err := checkOurs(ctx, session, path) // before anything is written
	if err != nil {
		return err
	}
	if err := makePrivate(path); err != nil {
		return fmt.Errorf("open the store %s: %w", path, err)
	}
	if err := writeAhead(ctx, session); err != nil {
		return fmt.Errorf("open the store %s: %w", path, err)
	}
	list, err := loadMigrations(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	if err := migrate(ctx, session, path, fresh, list, config.Now); err != nil {
		return err
	}
	for range config.Readers {
		r, err := openSession(ctx, dsn(path, config, true))
		if err != nil {
			return fmt.Errorf("open the store %s: %w", path, err)
		}
		r.clock = config.Now
		s.readers <- r
	}
	return nil
}

// View implements core.Store. It sees everything that was committed before it began.
func (s *SQLite) View(ctx context.Context, fn func(core.Tx) error) error {
	if !s.begin() {
		return errClosed
	}
	defer s.views.Done()
	var r *session
	select {
	case r = <-s.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.readers <- r }()
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := r.exec("BEGIN"); err != nil {
		return unavailable("begin view", err)
	}
	t := &tx{ctx: ctx, s: r, readOnly: true, cipher: s.writer.cipher}
	defer func() { // also when fn panics
		t.over = true
		r.exec("ROLLBACK")
	}()
	if err := fn(t); err != nil {
		return err
	}
	return t.broken
}

// Update implements core.Store. fn runs on the caller's goroutine while everybody else's
// Updates wait, so it must be quick, and must not call the store itself. If ctx ends
// before fn has begun, fn does not run; afterwards Update waits for the outcome
// whatever ctx does. If so many Updates wait already that the queue is full, the
// error is a *core.Error with core.CodeOverloaded.
func (s *SQLite) Update(ctx context.Context, fn func(core.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := newMember()
	if err := s.enqueue(m); err != nil {
		return err
	}
	return m.wait(ctx, fn)
}

func (s *SQLite) enqueue(m *member) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errClosed
	}
	select {
	case s.writer.queue <- m:
		return nil
	default:
		return errFull
	}
}

// begin counts a View, unless the store is closed.
func (s *SQLite) begin() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	s.views.Add(1)
	return true
}

// Ping implements core.Store. It fails, too, while the last commit has failed.
func (s *SQLite) Ping(ctx context.Context) error {
	err := s.View(ctx, func(t core.Tx) error {
		_, err := t.Counts()
		return err
	})
	if err != nil {
		return err
	}
	if e := s.writer.failure.Load(); e != nil {
		return e
	}
	return nil
}

// Close implements core.Store: it waits for running Views and the running batch, refuses the
// Updates that wait, and gives the lock back last. A second Close does nothing.
// It must not be called inside View or Update.
func (s *SQLite) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.writer.quit)
	<-s.writer.done
	s.views.Wait()
	return s.release()
}

// release closes what open opened. The writer's connection is the last one, so
// that it moves the write-ahead log into the database.
func (s *SQLite) release() error {
	close(s.readers)
	var errs []error
	for r := range s.readers {
		errs = append(errs, r.close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.session.close())
	}
	return errors.Join(append(errs, s.lock.release())...)
}
