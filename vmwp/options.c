/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line. */
#include "vmwp/options.h"

#include "common/base/parse.h"
#include "vmwp/sandbox/sandbox.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"vmwp - runs one virtual machine\n"
	"\n"
	"usage: vmwp --definition FILE [--serial stdio|null|PATH] [--engine ENGINE]\n"
	"            [--user UID] [--no-sandbox] [--print-timings] [--verbose]\n"
	"       vmwp --control-fd FD [--user UID] [--no-sandbox] [--verbose]\n"
	"       vmwp --probe\n"
	"\n"
	"  --definition FILE  run the VM that FILE describes, see vmms-vm.json(5)\n"
	"  --serial WHERE     the guest's serial port: stdio (the default; Ctrl-A x turns the VM\n"
	"                     off, Ctrl-A Ctrl-A sends Ctrl-A), null, or a terminal, pipe or file\n"
	"  --engine ENGINE    auto, in-kernel or user-space, whatever the definition says\n"
	"  --user UID         become that user and group, before anything of the guest's is read\n"
	"  --no-sandbox       stay outside the sandbox, for debugging\n"
	"  --print-timings    at the end, say how long it took to reach the guest's first\n"
	"                     instruction, and how much memory the worker itself uses\n"
	"  --verbose          log what is going on\n"
	"  --control-fd FD    receive definition, descriptors and requests over this socket, as\n"
	"                     from vmms(8)\n"
	"  --probe            say as JSON what this host's KVM can do, and what is missing\n"
	"  --help, --version\n"
	"\n"
	"exit status\n"
	"  0  the VM was stopped, by its guest or from outside\n"
	"  1  something failed; the reason is on standard error\n"
	"  2  wrong usage\n"
	"  3  the guest crashed or triple-faulted, and its definition says to stop then\n"
	"     (only with --definition)\n";

/* Return: false to refuse the value. */
typedef bool (*option_fn)(struct options *options, const char *value);

static bool option_definition(struct options *options, const char *value)
{
	options->mode = OPTIONS_RUN;
	options->definition = value;
	return true;
}

static bool option_serial(struct options *options, const char *value)
{
	options->serial = value;
	return value[0];
}

static bool option_engine(struct options *options, const char *value)
{
	for (unsigned i = 0; definition_engine_names[i]; i++) {
		if (strcmp(value, definition_engine_names[i]) == 0) {
			options->engine = (enum definition_engine)i;
			options->engine_given = true;
			return true;
		}
	}
	return false;
}

static bool option_user(struct options *options, const char *value)
{
	uint64_t user;

	/* Root would be no change, and the last one means that there is none. */
	if (parse_unsigned(value, 1, SANDBOX_SAME_USER - 1, &user) < 0)
		return false;
	options->user = (uid_t)user;
	return true;
}

static bool option_no_sandbox(struct options *options, const char *value)
{
	options->no_sandbox = true;
	return true;
}

static bool option_print_timings(struct options *options, const char *value)
{
	options->print_timings = true;
	return true;
}

static bool option_verbose(struct options *options, const char *value)
{
	options->verbose = true;
	return true;
}

static bool option_control_fd(struct options *options, const char *value)
{
	uint64_t fd;

	if (parse_unsigned(value, 0, INT_MAX, &fd) < 0)
		return false;
	options->mode = OPTIONS_CONTROL;
	options->control_fd = (int)fd;
	return true;
}

static bool option_probe(struct options *options, const char *value)
{
	options->mode = OPTIONS_PROBE;
	return true;
}

static bool option_say(struct options *options, const char *text)
{
	fputs(text, stdout);
	options->mode = OPTIONS_EXIT;
	options->exit_status = STATUS_OK;
	return true;
}

static bool option_help(struct options *options, const char *value)
{
	return option_say(options, help);
}

static bool option_version(struct options *options, const char *value)
{
	return option_say(options, "vmwp " VMMS_VERSION "\n");
}

static const struct option_row {
	const char *name;
	int has_value;
	option_fn take;
} rows[] = {
	{ "definition", required_argument, option_definition },
	{ "serial", required_argument, option_serial },
	{ "engine", required_argument, option_engine },
	{ "user", required_argument, option_user },
	{ "no-sandbox", no_argument, option_no_sandbox },
	{ "print-timings", no_argument, option_print_timings },
	{ "verbose", no_argument, option_verbose },
	{ "control-fd", required_argument, option_control_fd },
	{ "probe", no_argument, option_probe },
	{ "help", no_argument, option_help },
	{ "version", no_argument, option_version },
};

static void options_refuse(struct options *options)
{
	fputs("Try vmwp --help.\n", stderr);
	options->mode = OPTIONS_EXIT;
	options->exit_status = STATUS_USAGE;
}

void options_parse(int argc, char **argv, struct options *ret_options)
{
	struct option long_options[ARRAY_SIZE(rows) + 1] = { 0 };
	int index;

	*ret_options = (struct options){ .mode = OPTIONS_EXIT,
					 .exit_status = STATUS_USAGE,
					 .serial = "stdio",
					 .user = SANDBOX_SAME_USER };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		long_options[i] =
			(struct option){ .name = rows[i].name, .has_arg = rows[i].has_value };
	while (getopt_long(argc, argv, "", long_options, &index) == 0) {
		if (!rows[index].take(ret_options, optarg)) {
			fprintf(stderr, "vmwp: --%s does not take \"%s\".\n", rows[index].name,
				optarg);
			options_refuse(ret_options);
			return;
		}
		if (ret_options->mode == OPTIONS_EXIT && ret_options->exit_status == STATUS_OK)
			return;
	}
	if (optind < argc || ret_options->mode == OPTIONS_EXIT)
		options_refuse(ret_options);
}
