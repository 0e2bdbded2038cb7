/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The integration services beside shutdown and heartbeat. */
#include "vmwp/device/guest_services.h"

#include "vsp/ic/ic.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void services_guest(void *data, const struct ic_kvp_guest *guest)
{
	struct guest_services *services = data;

	services->callbacks->guest(services->data, guest);
}

static void services_refreshed(void *data)
{
	struct guest_services *services = data;

	services->callbacks->guest_refreshed(services->data);
}

static void services_thawed(void *data, int result)
{
	struct guest_services *services = data;

	services->callbacks->thawed(services->data, result == 0           ? "limit"
						    : result == IC_E_GONE ? "gone"
									  : "unknown");
}

static void services_socket(void *data, uint32_t request, uint32_t port)
{
	struct guest_services *services = data;

	services->callbacks->socket(services->data, request, port);
}

static const struct sockets_callbacks sockets_callbacks = { .connect = services_socket };
static const struct ic_kvp_callbacks kvp_callbacks = { .guest = services_guest,
						       .refreshed = services_refreshed };
static const struct ic_vss_callbacks vss_callbacks = { .thawed = services_thawed };

int guest_services_new(struct vmbus *bus, const struct definition *definition,
		       const struct guest_services_callbacks *callbacks, void *data,
		       struct guest_services **ret_services)
{
	CLEANUP(guest_services_freep)
	struct guest_services *services = calloc(1, sizeof(*services));
	int r = 0;

	if (!services)
		return -ENOMEM;
	services->callbacks = callbacks;
	services->data = data;
	if (definition->services.time)
		r = ic_time_new(bus, 0, &services->time);
	if (r >= 0 && definition->services.kvp)
		r = ic_kvp_new(bus, NULL, &kvp_callbacks, services, &services->kvp);
	if (r >= 0 && definition->services.vss)
		r = ic_vss_new(bus, NULL, &vss_callbacks, services, &services->vss);
	if (r >= 0 && definition->services.file_copy)
		r = ic_file_copy_new(bus, 0, &services->file_copy);
	if (r >= 0 && definition->services.sockets)
		r = sockets_new(bus, 0, &sockets_callbacks, services, &services->sockets);
	if (r < 0)
		return r;
	*ret_services = TAKE_PTR(services);
	return 0;
}

int guest_services_listen(struct guest_services *services, struct loop *loop, int fd)
{
	int r = 0;

	if (fd >= 0 && services->sockets)
		r = socket_listener_new(loop, services->sockets, fd, 0, &services->listener);
	if (fd >= 0 && !services->listener)
		close(fd);
	return r;
}

void guest_services_free(struct guest_services *services)
{
	if (!services)
		return;
	ic_time_free(services->time);
	ic_kvp_free(services->kvp);
	ic_vss_free(services->vss);
	ic_file_copy_free(services->file_copy);
	socket_listener_free(services->listener);
	sockets_free(services->sockets);
	free(services);
}

void guest_services_pause(struct guest_services *services)
{
	if (services->time)
		ic_time_pause(services->time);
}

void guest_services_resume(struct guest_services *services)
{
	if (services->time)
		ic_time_resume(services->time);
}

struct json_object *guest_services_status(const struct guest_services *services)
{
	bool time = services->time && ic_time_is_connected(services->time);
	bool kvp = services->kvp && ic_kvp_is_connected(services->kvp);
	bool vss = services->vss && ic_vss_is_connected(services->vss);
	bool file_copy = services->file_copy && ic_file_copy_is_connected(services->file_copy);
	unsigned sockets = services->sockets ? sockets_count(services->sockets) : 0;
	const char *state =
		ic_vss_state_name(services->vss ? ic_vss_state(services->vss) : IC_VSS_RUNNING);

	return json_make("time", json_object_new_boolean(time), "kvp", json_object_new_boolean(kvp),
			 "vss", json_object_new_boolean(vss), "file_copy",
			 json_object_new_boolean(file_copy), "file_systems",
			 json_object_new_string(state), "sockets", json_object_new_int64(sockets),
			 NULL);
}

struct json_object *guest_services_inspect(const struct guest_services *services)
{
	struct json_object *tree = json_object_new_object();

	if (services->time)
		json_add(&tree, "time", ic_time_inspect(services->time));
	if (services->kvp)
		json_add(&tree, "kvp", ic_kvp_inspect(services->kvp));
	if (services->vss)
		json_add(&tree, "vss", ic_vss_inspect(services->vss));
	if (services->file_copy)
		json_add(&tree, "file_copy", ic_file_copy_inspect(services->file_copy));
	return tree;
}
