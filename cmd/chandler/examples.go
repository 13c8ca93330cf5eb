package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// examples are shown in each command's help and in docs/command-line.md. A test
// checks that every command has some and that each is a valid command line.
var examples = map[string][]string{
	"chandler serve": {
		"chandler serve --config /etc/chandler/chandler.yaml",
		"chandler serve --config /etc/chandler/chandler.yaml --paused",
		"CHANDLER_LOG_LEVEL=debug chandler serve --listen 127.0.0.1:8080 --state ./state",
	},
	"chandler catalog lint": {
		"chandler catalog lint",
		"chandler catalog lint --catalog ./catalog --templates ./templates --plugins ./bin",
		"chandler catalog lint --config chandler.yaml -o json",
	},
	"chandler catalog diff": {
		"chandler catalog diff --catalog ./catalog --templates ./templates",
	},
	"chandler catalog render": {
		"chandler catalog render gluster-s3-bucket default",
		"chandler catalog render gluster-s3-bucket default --shape credentials/aws.yaml -o json",
	},
	"chandler catalog test": {
		"chandler catalog test --plugins ./bin",
		"chandler catalog test --live --service demo-service",
	},
	"chandler catalog status": {
		"chandler catalog status",
		"chandler catalog status --reload -o yaml",
	},
	"chandler plugin list": {
		"chandler plugin list",
		"chandler plugin list --plugins ./bin -o json",
	},
	"chandler plugin inventory": {
		"chandler plugin inventory gluster-s3",
		"chandler plugin inventory gluster-s3 -o json",
	},
	"chandler dispatcher status": {
		"chandler dispatcher status",
	},
	"chandler dispatcher pause": {
		"chandler dispatcher pause --why 'the gateway is rebuilt'",
	},
	"chandler dispatcher resume": {
		"chandler dispatcher resume",
	},
	"chandler export": {
		"chandler export -o monday.chandler",
		"chandler export --final --wait 10m -o move.chandler",
		"chandler export --config /etc/chandler/chandler.yaml -o monday.chandler",
	},
	"chandler import": {
		"chandler import --config /etc/chandler/new.yaml --key-file /etc/chandler/old.key move.chandler",
	},
	"chandler keys create": {
		"chandler keys create /etc/chandler/master.key",
		"chandler keys create",
	},
	"chandler keys status": {
		"chandler keys status -o json",
	},
	"chandler keys rotate": {
		"chandler keys rotate",
		"chandler keys rotate --master",
	},
	"chandler keys rewrap": {
		"chandler keys rewrap",
	},
	"chandler instance inspect": {
		"chandler instance inspect 7b1c",
	},
	"chandler instance adopt": {
		"chandler instance adopt 7b1c --service gluster-s3-bucket --plan default -p bucketName=photos",
	},
	"chandler plugin describe": {
		"chandler plugin describe demo --plugins ./bin",
		"chandler plugin describe gluster-s3 --config chandler.yaml --backend gluster-s3",
	},
	"chandler plugin test": {
		"chandler plugin test ./bin/chandler-plugin-demo",
		"chandler plugin test ./chandler-plugin-notes --file notes-test.yaml --only provision,kill",
	},
	"chandler instance list": {
		"chandler instance list --service demo-service --limit 1000",
	},
	"chandler instance show": {
		"chandler instance show my-bucket",
	},
	"chandler instance purge": {
		"chandler instance purge my-bucket --yes",
	},
	"chandler operation list": {
		"chandler operation list --state pending,cancelling",
		"chandler operation list --instance my-bucket -o yaml",
	},
	"chandler replica list": {
		"chandler replica list",
		"chandler replica list -o json",
	},
	"chandler operation show": {
		"chandler operation show 01a1fcac-0272-7000-802e-528c51c5a6bd",
	},
	"chandler operation cancel": {
		"chandler operation cancel 01a1fcac-0272-7000-802e-528c51c5a6bd",
	},
	"chandler operation retry": {
		"chandler operation retry 01a1fcac-0272-7000-802e-528c51c5a6bd",
	},
	"chandler operation abandon": {
		"chandler operation abandon 01a1fcac-0272-7000-802e-528c51c5a6bd",
	},
	"chandler marketplace": {
		"chandler marketplace",
		"chandler marketplace --url https://broker.example.org --user platform --ca ca.crt -o json",
	},
	"chandler provision": {
		"chandler provision gluster-s3-bucket default my-bucket -p bucketName=photos",
		"chandler provision demo-service slow --params @parameters.json --timeout 10m",
	},
	"chandler update": {
		"chandler update my-bucket -p 'tags={\"team\":\"web\"}'",
		"chandler update my-bucket --to-plan purge",
	},
	"chandler bind": {
		"chandler bind my-bucket my-app -p access=read-only -o json",
		"chandler bind my-bucket my-app-2 --rotate my-app",
	},
	"chandler unbind": {
		"chandler unbind my-bucket my-app",
	},
	"chandler deprovision": {
		"chandler deprovision my-bucket",
		"chandler deprovision my-bucket --service gluster-s3-bucket --plan default --no-wait",
	},
}

// addExamples gives c and every command below it its examples.
func addExamples(c *cobra.Command) {
	if lines := examples[c.CommandPath()]; len(lines) > 0 {
		c.Example = "  " + strings.Join(lines, "\n  ")
	}
	for _, sub := range c.Commands() {
		addExamples(sub)
	}
}
