package catalog

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/chandler-broker/chandler/core"
)

// maxSources bounds what DecodeSources unpacks, in bytes.
const maxSources = 256 << 20

// Sources are the files of one state of the catalog: the service files
// ("catalog/name.yaml"), those that plugins bring ("offerings/backend/name.yaml"), and the
// template files that they refer to ("templates/path.yaml"). Safe for concurrent use.
type Sources struct {
	dir, templatesDir string // where the files are; "" if only the bytes are there

	mu       sync.Mutex
	files    map[string][]byte // by "catalog/…" or "templates/…"
	services []string          // names of the service files, sorted
}

// ReadSources reads all service files of dir: *.yaml and *.yml directly in it, no
// hidden ones. Template files are read from templatesDir when a service asks for
// them. Problems say what could not be read.
func ReadSources(dir, templatesDir string) (*Sources, []core.Problem) {
	s := &Sources{dir: dir, templatesDir: templatesDir, files: map[string][]byte{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return s, []core.Problem{{File: dir, Message: "the catalog directory cannot be read: " + cause(err)}}
	}
	var problems []core.Problem
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || !isYAML(name) {
			continue
		}
		data, err := readFile(filepath.Join(dir, name))
		if err != nil {
			problems = append(problems, core.Problem{File: filepath.Join(dir, name), Message: "cannot be read: " + cause(err)})
			continue
		}
		s.files["catalog/"+name] = data
		s.services = append(s.services, "catalog/"+name)
	}
	slices.Sort(s.services)
	return s, problems
}

// NewSources makes sources of bytes. The names begin with "catalog/" (service
// files), "offerings/" (those of plugins) or "templates/".
func NewSources(files map[string][]byte) *Sources {
	s := &Sources{files: maps.Clone(files)}
	for name := range files {
		if isService(name) {
			s.services = append(s.services, name)
		}
	}
	slices.Sort(s.services)
	return s
}

func isService(name string) bool {
	return strings.HasPrefix(name, "catalog/") || strings.HasPrefix(name, offeringsPrefix)
}

func isYAML(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// readFile reads a regular file; one more byte than the limit, so that the decoder can refuse it.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	return io.ReadAll(io.LimitReader(f, maxFileSize+1))
}

// cause is an error's text without the path, which the problem names itself.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// file gives a file read so far by its name.
func (s *Sources) file(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[name]
}

// template gives a file under templates/ by its path there, with forward slashes.
func (s *Sources) template(path string) ([]byte, error) {
	if !fs.ValidPath(path) || !isYAML(path) {
		return nil, fmt.Errorf("a template file is named by its path under templates/, such as credentials/cns.yaml")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if data, ok := s.files["templates/"+path]; ok {
		return data, nil
	}
	if s.templatesDir == "" {
		return nil, fs.ErrNotExist
	}
	data, err := readFile(filepath.Join(s.templatesDir, filepath.FromSlash(path)))
	if err != nil {
		return nil, err
	}
	s.files["templates/"+path] = data
	return data, nil
}

// templateNames lists the template files that exist, for "did you mean".
func (s *Sources) templateNames() []string {
	var names []string
	s.mu.Lock()
	for name := range s.files {
		if rest, ok := strings.CutPrefix(name, "templates/"); ok {
			names = append(names, rest)
		}
	}
	s.mu.Unlock()
	if s.templatesDir != "" {
		_ = filepath.WalkDir(s.templatesDir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && isYAML(p) && len(names) < 1000 {
				if rel, err := filepath.Rel(s.templatesDir, p); err == nil {
					names = append(names, filepath.ToSlash(rel))
				}
			}
			return nil
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Place turns a name of a source ("catalog/a.yaml") into the path that a user can
// open; the name itself where the sources have no directory.
func (s *Sources) Place(name string) string {
	if rest, ok := strings.CutPrefix(name, "catalog/"); ok && s.dir != "" {
		return filepath.Join(s.dir, rest)
	}
	if rest, ok := strings.CutPrefix(name, "templates/"); ok && s.templatesDir != "" {
		return filepath.Join(s.templatesDir, rest)
	}
	return name
}

// Files gives the bytes of every file read so far, by name.
func (s *Sources) Files() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.files)
}

// own is Files without offerings.
func (s *Sources) own() map[string][]byte {
	files := s.Files()
	maps.DeleteFunc(files, func(name string, _ []byte) bool { return strings.HasPrefix(name, offeringsPrefix) })
	return files
}

// only gives sources with the service files and offerings that keep names, and all template files read so far.
func (s *Sources) only(keep func(name string) bool) *Sources {
	files := s.Files()
	maps.DeleteFunc(files, func(name string, _ []byte) bool { return isService(name) && !keep(name) })
	out := NewSources(files)
	out.dir, out.templatesDir = s.dir, s.templatesDir
	return out
}

// backends gives the backend of each service by its id, as written.
func (s *Sources) backends() map[string]string {
	out := map[string]string{}
	for _, name := range s.services {
		root, _ := decodeYAML(name, s.file(name))
		root = ownBackend(&problems{}, root)
		at, _ := fieldOf(root, "id")
		id, _ := at.Value.(string)
		at, _ = fieldOf(root, "backend")
		out[id], _ = at.Value.(string)
	}
	return out
}

// digest identifies the bytes of all files read so far, offerings left aside.
func (s *Sources) digest() string {
	h := sha256.New()
	files := s.own()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%d:%s%d:", len(name), name, len(files[name]))
		h.Write(files[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Encode packs all files read so far, offerings left aside, for the store. Equal files
// give equal bytes.
func (s *Sources) Encode() ([]byte, error) {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	if err := json.NewEncoder(zip).Encode(s.own()); err != nil {
		return nil, fmt.Errorf("encode the catalog's files: %w", err)
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("encode the catalog's files: %w", err)
	}
	return buf.Bytes(), nil
}

// DecodeSources is the reverse of Encode.
func DecodeSources(data []byte) (*Sources, error) {
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decode the catalog's files: %w", err)
	}
	var files map[string][]byte
	if err := json.NewDecoder(io.LimitReader(zip, maxSources)).Decode(&files); err != nil {
		return nil, fmt.Errorf("decode the catalog's files: %w", err)
	}
	return NewSources(files), nil
}
