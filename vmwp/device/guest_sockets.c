/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hyper-V sockets of a machine's guest. */
#include "vmwp/device/devices.h"
#include "vmwp/resource/resources.h"
#include "vsp/socket/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct guest_sockets {
	struct sockets *sockets;
	struct socket_listener *listener; /* NULL: none */
};

static void guest_sockets_connect(void *data, uint32_t request, uint32_t port)
{
	const struct device_config *config = data;

	config->callbacks->socket(config->data, request, port);
}

static const struct sockets_callbacks guest_sockets_callbacks = { .connect =
									  guest_sockets_connect };

static int guest_sockets_make(struct device_config *config, void **ret_device,
			      struct failure *failure)
{
	struct guest_sockets *sockets;

	if (!config->definition->services.sockets)
		return 0;
	sockets = calloc(1, sizeof(*sockets));
	if (!sockets)
		return -ENOMEM;
	*ret_device = sockets;
	return sockets_new(config->bus, 0, &guest_sockets_callbacks, config, &sockets->sockets);
}

static void guest_sockets_free(void *device)
{
	struct guest_sockets *sockets = device;

	socket_listener_free(sockets->listener);
	sockets_free(sockets->sockets);
	free(sockets);
}

int guest_sockets_listen(struct guest_sockets *sockets, struct loop *loop, int fd)
{
	int r = 0;

	if (fd >= 0 && sockets)
		r = socket_listener_new(loop, sockets->sockets, fd, 0, &sockets->listener);
	if (fd >= 0 && !(sockets && sockets->listener))
		close(fd);
	return r;
}

struct sockets *guest_sockets_all(struct guest_sockets *sockets)
{
	return sockets ? sockets->sockets : NULL;
}

static void guest_sockets_status(void *device, struct json_object **tree)
{
	struct guest_sockets *sockets = device;

	json_add(tree, "sockets",
		 json_object_new_int64(sockets ? sockets_count(sockets->sockets) : 0));
}

static void guest_sockets_quiesce(void *device, void (*done)(void *data), void *data)
{
	struct guest_sockets *sockets = device;

	sockets_quiesce(sockets->sockets);
	done(data);
}

static void guest_sockets_resume(void *device)
{
	struct guest_sockets *sockets = device;

	sockets_resume(sockets->sockets);
}

static int guest_sockets_save(void *device, struct state_writer *writer)
{
	struct guest_sockets *sockets = device;

	sockets_save(sockets->sockets, guest_sockets_ops.name, writer);
	return 0;
}

static int guest_sockets_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const char *name = guest_sockets_ops.name;
	struct guest_sockets *sockets = device;

	return device_restore_result(sockets_restore(sockets->sockets, name, reader), name,
				     failure);
}

static int guest_sockets_hand_over(void *device, struct handover *handover, struct failure *failure)
{
	const struct guest_sockets *sockets = device;

	if (!sockets->listener)
		return 0;
	return handover_add(handover, "sockets", socket_listener_descriptor(sockets->listener));
}

const struct device_ops guest_sockets_ops = {
	.name = "sockets",
	.kind = DEVICE_SERVICE,
	.make = guest_sockets_make,
	.free = guest_sockets_free,
	.quiesce = guest_sockets_quiesce,
	.resume = guest_sockets_resume,
	.save = guest_sockets_save,
	.restore = guest_sockets_restore,
	.hand_over = guest_sockets_hand_over,
	.status = guest_sockets_status,
};
