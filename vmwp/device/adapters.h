/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The network adapters of a machine, as the definition has them, and as they come, go and change
 * networks while the guest runs.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/control_contract.h"
#include "common/definition/definition.h"
#include "vmwp/base/device.h"
#include "vmwp/base/failure.h"

struct adapters;

enum {
	_ADAPTERS_E_OK,
	ADAPTERS_E_TAKEN,   /* there is an adapter of that name, or it has not gone yet */
	ADAPTERS_E_ABSENT,  /* there is none */
	ADAPTERS_E_REFUSED, /* the descriptors will not do, or there are too many adapters */
};

extern const struct device_ops adapters_ops;

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
