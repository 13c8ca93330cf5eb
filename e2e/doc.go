// Package e2e tests Chandler end to end: the real broker executable, real plugin
// processes and a real S3 gateway, each killed when a test says so. Each test
// shows one promise of the documentation to be true. It uses executables, files and
// HTTP only, and must not know the broker's packages.
package e2e
