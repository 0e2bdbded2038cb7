/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A driver for UEFI: the VM's synthetic SCSI controllers and its screen, on the PCI function that brings it
 * along.
 *
 * All controllers are one to the firmware, whose targets they are: so its paths are those of any
 * SCSI adapter on a PCI bus, and an order of booting can name them. When the firmware hands the
 * machine over, everything is closed, so that the system finds VMBus as it does after a reset.
 */
#include "common/wire/scsi.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/uefi/efi.h"
#include "guest-vsc/uefi/efi_machine.h"
#include "guest-vsc/uefi/efi_screen.h"
#include "guest-vsc/uefi/efi_storage.h"
#include "guest-vsc/uefi/efi_video.h"

#define TRANSFER_MAX ((STORVSC_CLIENT_PAGES_MAX - 2) * 4096u)

const struct efi_boot_services *efi_boot;

const struct guid efi_driver_binding_guid =
	GUID(0x18a031ab, 0xb443, 0x4d1a, 0xa5, 0xc0, 0x0c, 0x09, 0x26, 0x1e, 0x9f, 0x71);
const struct guid efi_pci_io_guid =
	GUID(0x4cf5b200, 0x68b8, 0x4ca5, 0x9e, 0xec, 0xb2, 0x3e, 0x3f, 0x50, 0x02, 0x9a);
const struct guid efi_scsi_guid =
	GUID(0x143b7632, 0xb81b, 0x4cb7, 0xab, 0xd3, 0xb6, 0x25, 0xa5, 0xb9, 0xbf, 0xfe);

/* ---- Places ---- */

static struct efi_storage_place place_of(const uint8_t *target, uint64_t lun)
{
	return (struct efi_storage_place){ .controller = target[0] | (unsigned)target[1] << 8,
					   .lun = lun > UINT8_MAX ? UINT8_MAX : (unsigned)lun };
}

static void place_give(const struct efi_storage_place *place, uint8_t *target, uint64_t *lun)
{
	memset(target, 0, EFI_SCSI_TARGET_SIZE);
	target[0] = (uint8_t)place->controller;
	*lun = place->lun;
}

static bool target_is_none(const uint8_t *target)
{
	for (unsigned i = 0; i < EFI_SCSI_TARGET_SIZE; i++)
		if (target[i] != 0xff)
			return false;
	return true;
}

/* ---- A request ---- */

static efi_status_t make_request(const struct efi_scsi_packet *packet,
				 struct storvsc_request *request)
{
	bool in = packet->direction == EFI_SCSI_READ;

	if (packet->direction > EFI_SCSI_WRITE)
		return EFI_UNSUPPORTED;
	if (!packet->cdb || packet->cdb_length > sizeof(request->cdb))
		return EFI_INVALID_PARAMETER;
	*request = (struct storvsc_request){ .cdb_length = packet->cdb_length,
					     .direction = STORVSP_DIRECTION_NONE,
					     .buffer = in ? packet->in : packet->out,
					     .size = in ? packet->in_length : packet->out_length };
	memcpy(request->cdb, packet->cdb, packet->cdb_length);
	if (request->size == 0)
		return EFI_SUCCESS;
	request->direction = in ? STORVSP_DIRECTION_IN : STORVSP_DIRECTION_OUT;
	return request->buffer ? EFI_SUCCESS : EFI_INVALID_PARAMETER;
}

static void set_transferred(struct efi_scsi_packet *packet, uint32_t size)
{
	if (packet->direction == EFI_SCSI_READ)
		packet->in_length = size;
	else
		packet->out_length = size;
}

static void take_outcome(struct efi_scsi_packet *packet, const struct storvsc_request *request)
{
	uint8_t sense = 0;

	if (request->srb_status & STORVSP_SRB_AUTOSENSE_VALID && packet->sense)
		sense = MIN(packet->sense_length, request->sense_length);
	if (sense > 0)
		memcpy(packet->sense, request->sense, sense);
	packet->sense_length = sense;
	packet->target_status = request->scsi_status;
	packet->adapter_status = EFI_SCSI_ADAPTER_OK;
	if (!storvsc_request_succeeded(request) && request->scsi_status == SCSI_GOOD)
		packet->adapter_status = EFI_SCSI_ADAPTER_OTHER;
	set_transferred(packet, MIN(request->transferred, request->size));
}

static efi_status_t execute(const struct efi_storage_place *place, struct efi_scsi_packet *packet)
{
	struct storvsc_request request;
	efi_status_t status = make_request(packet, &request);

	if (status != EFI_SUCCESS)
		return status;
	if (request.size > TRANSFER_MAX) {
		set_transferred(packet, TRANSFER_MAX);
		return EFI_BAD_BUFFER_SIZE;
	}
	if (efi_storage_execute(place, &request) != 0) {
		packet->adapter_status = EFI_SCSI_ADAPTER_TIMEOUT;
		packet->sense_length = 0;
		return EFI_TIMEOUT;
	}
	take_outcome(packet, &request);
	return packet->adapter_status == EFI_SCSI_ADAPTER_OK ? EFI_SUCCESS : EFI_DEVICE_ERROR;
}

/* ---- The protocol ---- */

/* One at a time: what runs at a higher level than its caller does not come in between. */
static efi_status_t scsi_pass(struct efi_scsi *scsi, const uint8_t *target, uint64_t lun,
			      struct efi_scsi_packet *packet, efi_event_t event)
{
	const struct efi_storage_place place = place_of(target, lun);
	efi_status_t status;
	uint64_t level;

	if (!efi_storage_has(&place))
		return EFI_INVALID_PARAMETER;
	level = efi_boot->raise_tpl(EFI_TPL_NOTIFY);
	status = execute(&place, packet);
	efi_boot->restore_tpl(level);
	return status;
}

static efi_status_t scsi_next_lun(struct efi_scsi *scsi, uint8_t **target, uint64_t *lun)
{
	struct efi_storage_place place, next;
	bool none = target_is_none(*target);

	place = place_of(*target, *lun);
	if (!none && !efi_storage_has(&place))
		return EFI_INVALID_PARAMETER;
	if (!efi_storage_next(none ? NULL : &place, &next))
		return EFI_NOT_FOUND;
	place_give(&next, *target, lun);
	return EFI_SUCCESS;
}

static efi_status_t scsi_next_target(struct efi_scsi *scsi, uint8_t **target)
{
	struct efi_storage_place place, next;
	bool none = target_is_none(*target);
	uint64_t lun;

	place = place_of(*target, EFI_STORAGE_LUN_LAST);
	if (!efi_storage_next(none ? NULL : &place, &next))
		return EFI_NOT_FOUND;
	place_give(&next, *target, &lun);
	return EFI_SUCCESS;
}

static efi_status_t scsi_build_path(struct efi_scsi *scsi, const uint8_t *target, uint64_t lun,
				    struct efi_device_path **ret_path)
{
	const struct efi_storage_place place = place_of(target, lun);
	struct efi_scsi_path *path;
	void *memory;

	if (!ret_path)
		return EFI_INVALID_PARAMETER;
	if (!efi_storage_has(&place))
		return EFI_NOT_FOUND;
	if (efi_boot->allocate_pool(EFI_BOOT_SERVICES_DATA, sizeof(*path), &memory) != EFI_SUCCESS)
		return EFI_OUT_OF_RESOURCES;
	path = memory;
	*path = (struct efi_scsi_path){
		.header = { EFI_PATH_MESSAGING, EFI_PATH_SCSI, sizeof(*path) },
		.target = (uint16_t)place.controller,
		.lun = (uint16_t)place.lun,
	};
	*ret_path = &path->header;
	return EFI_SUCCESS;
}

static efi_status_t scsi_parse_path(struct efi_scsi *scsi, const struct efi_device_path *path,
				    uint8_t **target, uint64_t *ret_lun)
{
	struct efi_storage_place place;
	struct efi_scsi_path node;

	if (!path || !target || !*target || !ret_lun)
		return EFI_INVALID_PARAMETER;
	if (path->type != EFI_PATH_MESSAGING || path->sub_type != EFI_PATH_SCSI ||
	    path->length != sizeof(node))
		return EFI_UNSUPPORTED;
	memcpy(&node, path, sizeof(node));
	place = (struct efi_storage_place){ node.target, node.lun };
	if (!efi_storage_has(&place))
		return EFI_NOT_FOUND;
	place_give(&place, *target, ret_lun);
	return EFI_SUCCESS;
}

static efi_status_t scsi_reset_channel(struct efi_scsi *scsi)
{
	return EFI_UNSUPPORTED;
}

static efi_status_t scsi_reset_lun(struct efi_scsi *scsi, const uint8_t *target, uint64_t lun)
{
	return EFI_UNSUPPORTED;
}

static const struct efi_scsi_mode scsi_mode = {
	.adapter = UINT32_MAX,
	.attributes = EFI_SCSI_PHYSICAL | EFI_SCSI_LOGICAL,
};

static struct efi_scsi scsi = {
	.mode = &scsi_mode,
	.pass = scsi_pass,
	.next_lun = scsi_next_lun,
	.build_path = scsi_build_path,
	.parse_path = scsi_parse_path,
	.reset_channel = scsi_reset_channel,
	.reset_lun = scsi_reset_lun,
	.next_target = scsi_next_target,
};

/* ---- The driver ---- */

static efi_event_t hand_over_event;
static struct efi_screen *screen; /* NULL: the VM has none */

static void hand_over(efi_event_t event, void *context)
{
	efi_storage_close();
	efi_machine_hand_over();
}

static bool is_ours(struct efi_pci_io *pci)
{
	uint32_t id = 0;

	return pci->config_read(pci, EFI_PCI_WIDTH_32, 0, 1, &id) == EFI_SUCCESS &&
	       id == EFI_MACHINE_PCI_ID;
}

static efi_status_t open_pci(struct efi_driver_binding *binding, efi_handle_t controller,
			     struct efi_pci_io **ret_pci)
{
	void *interface;
	efi_status_t status =
		efi_boot->open_protocol(controller, &efi_pci_io_guid, &interface, binding->handle,
					controller, EFI_OPEN_BY_DRIVER);

	if (status == EFI_SUCCESS)
		*ret_pci = interface;
	return status;
}

static void close_pci(struct efi_driver_binding *binding, efi_handle_t controller)
{
	efi_boot->close_protocol(controller, &efi_pci_io_guid, binding->handle, controller);
}

static efi_status_t driver_supported(struct efi_driver_binding *binding, efi_handle_t controller,
				     const struct efi_device_path *rest)
{
	struct efi_pci_io *pci;
	efi_status_t status = open_pci(binding, controller, &pci);

	if (status != EFI_SUCCESS)
		return status;
	status = is_ours(pci) ? EFI_SUCCESS : EFI_UNSUPPORTED;
	close_pci(binding, controller);
	return status;
}

static void end(void)
{
	efi_storage_close();
	efi_storage_free();
	efi_video_free();
}

static void open_screen(void)
{
	uint32_t width, height;

	screen = NULL;
	if (efi_video_open(efi_storage_bus(), &width, &height))
		screen = efi_screen_make(EFI_VIDEO_PLACE, width, height);
}

static efi_status_t begin(efi_handle_t controller)
{
	efi_status_t status;

	if (!efi_storage_open())
		return EFI_DEVICE_ERROR;
	open_screen();
	status = efi_boot->create_event(EFI_EVENT_EXIT_BOOT_SERVICES, EFI_TPL_NOTIFY, hand_over,
					NULL, &hand_over_event);
	if (status == EFI_SUCCESS) {
		status =
			efi_boot->install_protocols(&controller, &efi_scsi_guid, &scsi,
						    screen ? &efi_screen_guid : NULL, screen, NULL);
		if (status != EFI_SUCCESS)
			efi_boot->close_event(hand_over_event);
	}
	if (status != EFI_SUCCESS)
		end();
	return status;
}

static efi_status_t driver_start(struct efi_driver_binding *binding, efi_handle_t controller,
				 const struct efi_device_path *rest)
{
	struct efi_pci_io *pci;
	efi_status_t status = open_pci(binding, controller, &pci);

	if (status != EFI_SUCCESS)
		return status;
	status = begin(controller);
	if (status != EFI_SUCCESS)
		close_pci(binding, controller);
	return status;
}

static efi_status_t driver_stop(struct efi_driver_binding *binding, efi_handle_t controller,
				uint64_t child_count, efi_handle_t *children)
{
	efi_status_t status = efi_boot->uninstall_protocols(
		controller, &efi_scsi_guid, &scsi, screen ? &efi_screen_guid : NULL, screen, NULL);

	if (status != EFI_SUCCESS)
		return status;
	efi_boot->close_event(hand_over_event);
	end();
	close_pci(binding, controller);
	return EFI_SUCCESS;
}

static struct efi_driver_binding binding = {
	.supported = driver_supported,
	.start = driver_start,
	.stop = driver_stop,
	.version = 0x10,
};

efi_status_t efi_main(efi_handle_t image, const struct efi_system_table *system);

efi_status_t efi_main(efi_handle_t image, const struct efi_system_table *system)
{
	efi_boot = system->boot_services;
	binding.image = image;
	binding.handle = image;
	return efi_boot->install_protocols(&image, &efi_driver_binding_guid, &binding, NULL);
}
