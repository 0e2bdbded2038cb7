/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What vmms asks of others on its bus, for a private one: systemd, in what state the host is.
 *
 * usage: fake_system ADDRESS FOLDER. The state is in FOLDER/system-state; without that file, and
 * until this has connected, nobody knows.
 */
#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

static const char *folder;

/* One line of a file. Return: false: there is none. */
static bool read_line(const char *name, char *line, int size)
{
	char path[4096];
	FILE *file;
	bool got;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "re");
	if (!file)
		return false;
	got = fgets(line, size, file) != NULL;
	fclose(file);
	if (got)
		line[strcspn(line, "\n")] = '\0';
	return got;
}

static int get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *reply, void *data, sd_bus_error *error)
{
	char state[64];

	if (!read_line("system-state", state, sizeof(state)))
		return -ENODATA;
	return sd_bus_message_append(reply, "s", state);
}

static const sd_bus_vtable systemd[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("SystemState", "s", get_state, 0, 0),
	SD_BUS_VTABLE_END,
};

static int connect_bus(const char *address, sd_bus **ret_bus)
{
	int r;

	r = sd_bus_new(ret_bus);
	if (r >= 0)
		r = sd_bus_set_address(*ret_bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(*ret_bus, true);
	return r >= 0 ? sd_bus_start(*ret_bus) : r;
}

static int serve(sd_bus *bus)
{
	int r;

	r = sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/systemd1",
				     "org.freedesktop.systemd1.Manager", systemd, NULL);
	if (r >= 0)
		r = sd_bus_request_name(bus, "org.freedesktop.systemd1", 0);
	while (r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	return r;
}

int main(int argc, char *argv[])
{
	CLEANUP(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	int r;

	if (argc != 3)
		return 2;
	folder = argv[2];
	r = connect_bus(argv[1], &bus);
	if (r >= 0)
		r = serve(bus);
	fprintf(stderr, "fake system: %s\n", strerror(-r));
	return 1;
}
