/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A port of this host for a guest's ssh. */
#include "vmms/vmctl/ssh_port.h"

#include "common/base/cleanup.h"
#include "common/definition/definition.h"
#include "vmms/vmctl/vm_info.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define PORT_FIRST 2222
#define PORT_COUNT 1000

/* A bit for each port from PORT_FIRST on. */
struct taken {
	bool ports[PORT_COUNT];
};

static void port_take_forwards(const struct definition *definition, struct taken *taken)
{
	for (unsigned i = 0; i < definition->network.adapter_count; i++) {
		const struct definition_adapter *adapter = &definition->network.adapters[i];

		for (unsigned j = 0; j < adapter->forward_count; j++) {
			unsigned port = adapter->forwards[j].host_port;

			if (port >= PORT_FIRST && port - PORT_FIRST < PORT_COUNT)
				taken->ports[port - PORT_FIRST] = true;
		}
	}
}

/* A VM that goes meanwhile, or whose definition a newer service has written, takes none. */
static void port_look_at_vm(struct invocation *invocation, const char *name, struct taken *taken)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	CLEANUP(definition_freep) struct definition *definition = NULL;
	AUTO_FREE char *text = NULL;
	struct json_error error;
	const char *path;

	if (sd_bus_call_method(invocation->bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE_MANAGER,
			       "GetVM", NULL, &reply, "s", name) >= 0 &&
	    sd_bus_message_read(reply, "o", &path) >= 0 &&
	    sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_VM,
				       "Definition", NULL, &text) >= 0 &&
	    definition_parse(text, strlen(text), &definition, &error) == 0)
		port_take_forwards(definition, taken);
}

/* As passt(1) will have to do it. */
static bool port_can_be_bound(unsigned port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6,
					.sin6_port = htons((uint16_t)port) };
	struct sockaddr_in old = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	AUTO_CLOSE int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && bind(fd, (struct sockaddr *)&old, sizeof(old)) == 0;
}

enum status ssh_port_choose(struct invocation *invocation, unsigned *ret_port)
{
	CLEANUP(vm_list_deinit) struct vm_list list = { 0 };
	struct taken taken = { 0 };
	enum status status;

	status = vm_list_get(invocation, &list);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < list.count; i++)
		port_look_at_vm(invocation, list.vms[i].name, &taken);
	for (unsigned i = 0; i < PORT_COUNT; i++) {
		if (!taken.ports[i] && port_can_be_bound(PORT_FIRST + i)) {
			*ret_port = PORT_FIRST + i;
			return STATUS_OK;
		}
	}
	usage_error(invocation,
		    "no port from %u to %u is free for the guest's ssh; name one by "
		    "--ssh-port",
		    PORT_FIRST, PORT_FIRST + PORT_COUNT - 1);
	return STATUS_FAILED;
}
