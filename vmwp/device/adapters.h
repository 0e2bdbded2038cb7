/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The network adapters of a machine, as the definition has them, and as they come, go and change
 * networks while the guest runs.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/control_contract.h"
#include "common/definition/definition.h"
#include "vmwp/base/failure.h"
#include "vmwp/resource/resources.h"
#include "vsp/vmbus/vmbus.h"

struct adapters;
struct network_counters;

enum {
	_ADAPTERS_E_OK,
	ADAPTERS_E_TAKEN,   /* there is an adapter of that name, or it has not gone yet */
	ADAPTERS_E_ABSENT,  /* there is none */
	ADAPTERS_E_REFUSED, /* the descriptors will not do, or there are too many adapters */
};

struct adapters_callbacks {
	/* The network behind an adapter has ended by itself; its link is down. */
	void (*network_ended)(void *data, const char *name);

	/* The adapter has come, or has another network than before. */
	void (*connected)(void *data, const char *name);
};

/* All pointers are borrowed; descriptors are taken from the resources. */
struct adapters_config {
	struct vmbus *bus;
	const struct definition *definition;
	struct resources *resources;
	const struct adapters_callbacks *callbacks;
	void *data;
};

/* Return: 0; -errno and *failure. */
int adapters_new(const struct adapters_config *config, struct adapters **ret_adapters,
		 struct failure *failure) MUST_CHECK;

/* The loop will not run any more. Accepts NULL. */
void adapters_free(struct adapters *adapters);

/* No guest has connected, and the loop runs on: what it still holds is freed by and by. */
void adapters_discard(struct adapters *adapters);

/*
 * fds: taken over where 0 is returned. done, which may be NULL, is called when the adapter has
 * gone, perhaps before returning; but only if 0 is returned. Return: 0; ADAPTERS_E_, with *failure;
 * -errno.
 */
int adapters_attach(struct adapters *adapters, const struct definition_adapter *definition,
		    enum control_backend backend, const int *fds, unsigned fd_count,
		    struct failure *failure) MUST_CHECK;
int adapters_detach(struct adapters *adapters, const char *name, void (*done)(void *data),
		    void *data, struct failure *failure) MUST_CHECK;
int adapters_connect(struct adapters *adapters, const char *name, enum control_backend backend,
		     const int *fds, unsigned fd_count, struct failure *failure) MUST_CHECK;

/*
 * Adapters are numbered from 0 to DEFINITION_ADAPTERS_MAX - 1, with gaps: the name of the one with
 * that number, NULL if there is none, and the MAC address that the guest gives it.
 */
const char *adapters_name(const struct adapters *adapters, unsigned number);
const uint8_t *adapters_mac(const struct adapters *adapters, unsigned number);

/* The sum of all adapters, those that are gone too. */
void adapters_counters(const struct adapters *adapters, struct network_counters *ret_counters);

/* An array of objects, one for each adapter. New reference; NULL without memory. */
struct json_object *adapters_status(const struct adapters *adapters);

/* The same, of how they are now: with those that are leaving. */
struct json_object *adapters_inspect(const struct adapters *adapters);
