/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "rdma/ofi.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define OFI_VERSION FI_VERSION(1, 11)
#define QUEUE 128
#define ENDPOINT_TRIES 16

/* --- which provider --- */

const char *fabric_provider(const struct fabric *fabric) {
    return fabric->info ? fabric->info->fabric_attr->prov_name : "";
}

int fabric_fail(const struct fabric *fabric, int code, const char *what, struct dtr_error *error) {
    return fabric->host->fail(error, DTR_E_SYSTEM, "the provider '%s': %s: %s",
                              fabric_provider(fabric), what,
                              fabric_cause(fabric, code < 0 ? -code : code));
}

const char *fabric_cause(const struct fabric *fabric, int code) {
    return fabric->library.strerror(code);
}

/* What is asked of a provider, in the order in which a shortcoming is looked for. */
enum demand { DEMAND_NAME, DEMAND_RELIABLE, DEMAND_WRITES, DEMAND_ORDER, DEMANDS };

static const char *const lacks[DEMANDS] = {
    [DEMAND_NAME] = "finds no network that it can use here",
    [DEMAND_RELIABLE] =
        "has no reliable endpoints without connections (FI_EP_RDM); with ';ofi_rxm' "
        "or ';ofi_rxd' behind its name it may",
    [DEMAND_WRITES] = "has no one-sided writes (FI_RMA)",
    [DEMAND_ORDER] =
        "does not keep the order of messages (FI_ORDER_SAS), or tells nobody of writes "
        "(remote CQ data)",
};

static struct fi_info *make_hints(const struct fabric_library *library, const char *provider,
                                  enum demand demand) {
    struct fi_info *hints = library->dupinfo(NULL);
    if (!hints)
        return NULL;
    hints->fabric_attr->prov_name = strdup(provider);
    hints->mode = FI_CONTEXT | FI_CONTEXT2;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    hints->domain_attr->threading = FI_THREAD_DOMAIN;
    if (demand >= DEMAND_RELIABLE)
        hints->ep_attr->type = FI_EP_RDM;
    if (demand >= DEMAND_WRITES)
        hints->caps = FI_MSG | FI_RMA;
    if (demand >= DEMAND_ORDER) {
        /* Providers set aside memory for as much as may be under way. */
        hints->tx_attr->size = QUEUE;
        hints->rx_attr->size = QUEUE;
        hints->tx_attr->msg_order = FI_ORDER_SAS;
        hints->rx_attr->msg_order = FI_ORDER_SAS;
        hints->domain_attr->cq_data_size = sizeof(uint32_t);
        hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
    }
    return hints;
}

static struct fi_info *ask(const struct fabric_library *library, const char *provider,
                           enum demand demand, const char *source) {
    struct fi_info *info = NULL, *hints = make_hints(library, provider, demand);
    if (hints)
        library->getinfo(OFI_VERSION, source, NULL, source ? FI_SOURCE | FI_NUMERICHOST : 0, hints,
                         &info);
    library->freeinfo(hints);
    return info;
}

static bool is_internet(const struct fi_info *info) {
    return info->addr_format == FI_SOCKADDR || info->addr_format == FI_SOCKADDR_IN ||
           info->addr_format == FI_SOCKADDR_IN6;
}

/* The source means something only to those whose addresses are the Internet's. */
static struct fi_info *find(const struct fabric_library *library, const char *provider,
                            const char *source) {
    struct fi_info *info = ask(library, provider, DEMANDS - 1, NULL);
    if (!info || !is_internet(info))
        return info;
    library->freeinfo(info);
    return ask(library, provider, DEMANDS - 1, source);
}

static int explain(const struct fabric *fabric, const char *provider, const char *source,
                   struct dtr_error *error) {
    for (enum demand demand = 0; demand < DEMANDS; demand++) {
        struct fi_info *info = ask(&fabric->library, provider, demand, NULL);
        if (!info)
            return fabric->host->fail(error, DTR_E_CONFIG, "the provider '%s' %s", provider,
                                      lacks[demand]);
        fabric->library.freeinfo(info);
    }
    return fabric->host->fail(error, DTR_E_CONFIG,
                              "the provider '%s' cannot use the address %s; name the interface or "
                              "address to use in [transport.rdma]",
                              provider, source);
}

int fabric_choose(struct fabric *fabric, const struct dtr_host *host, const char *provider,
                  const char *source, struct dtr_error *error) {
    static const char *const usual[] = {"verbs;ofi_rxm", "tcp;ofi_rxm"};
    *fabric = (struct fabric){.host = host, .fd = -1};
    const int status = fabric_library_open(host, &fabric->library, error);
    if (status)
        return status;
    /* ofi_rxm would set aside, and clear, 64 MiB for each endpoint; who has said otherwise is
     * heard. */
    setenv("FI_OFI_RXM_MSG_RX_SIZE", "256", 0);
    if (*provider)
        fabric->info = find(&fabric->library, provider, source);
    for (size_t i = 0; !*provider && !fabric->info && i < sizeof usual / sizeof usual[0]; i++)
        fabric->info = find(&fabric->library, usual[i], source);
    if (!fabric->info)
        return explain(fabric, *provider ? provider : usual[1], source, error);
    int code = fabric->library.fabric(fabric->info->fabric_attr, &fabric->fabric, NULL);
    if (!code)
        code = fi_domain(fabric->fabric, fabric->info, &fabric->domain, NULL);
    if (!code)
        return DTR_OK;
    fabric_fail(fabric, code, "no domain", error);
    fabric_free(fabric);
    return DTR_E_SYSTEM;
}

void fabric_free(struct fabric *fabric) {
    fabric_hang_up(fabric);
    if (fabric->domain)
        fi_close(&fabric->domain->fid);
    if (fabric->fabric)
        fi_close(&fabric->fabric->fid);
    if (fabric->info)
        fabric->library.freeinfo(fabric->info);
    *fabric = (struct fabric){.host = fabric->host, .fd = -1};
}

/* --- the endpoint --- */

static int open_queue(struct fabric *fabric) {
    struct fi_cq_attr attr = {.format = FI_CQ_FORMAT_DATA, .wait_obj = FI_WAIT_FD};
    int code = fi_cq_open(fabric->domain, &attr, &fabric->cq, NULL);
    if (!code && !fi_control(&fabric->cq->fid, FI_GETWAIT, &fabric->fd))
        return 0;
    if (!code)
        fi_close(&fabric->cq->fid);
    fabric->fd = -1;
    attr.wait_obj = FI_WAIT_NONE;
    return fi_cq_open(fabric->domain, &attr, &fabric->cq, NULL);
}

static int open_endpoint(struct fabric *fabric, uint32_t peers) {
    struct fi_av_attr attr = {.type = FI_AV_TABLE, .count = peers};
    int code = fi_av_open(fabric->domain, &attr, &fabric->av, NULL);
    if (!code)
        code = open_queue(fabric);
    if (!code)
        code = fi_endpoint(fabric->domain, fabric->info, &fabric->ep, NULL);
    if (!code)
        code = fi_ep_bind(fabric->ep, &fabric->av->fid, 0);
    if (!code)
        code = fi_ep_bind(fabric->ep, &fabric->cq->fid, FI_TRANSMIT | FI_RECV);
    return code ? code : fi_enable(fabric->ep);
}

int fabric_listen(struct fabric *fabric, uint32_t peers, void *name, size_t *bytes_p,
                  struct dtr_error *error) {
    int code, tries = 0;
    /* The shared memory provider names its objects by process: one that was killed may have left
     * what is called like ours.  Each try takes another name. */
    do {
        fabric_hang_up(fabric);
        code = open_endpoint(fabric, peers);
    } while (code == -FI_EBUSY && ++tries < ENDPOINT_TRIES);
    *bytes_p = FABRIC_NAME_MAX;
    if (!code)
        code = fi_getname(&fabric->ep->fid, name, bytes_p);
    if (!code)
        return DTR_OK;
    fabric_fail(fabric, code, "no endpoint", error);
    fabric_hang_up(fabric);
    return DTR_E_SYSTEM;
}

void fabric_hang_up(struct fabric *fabric) {
    if (fabric->ep)
        fi_close(&fabric->ep->fid);
    if (fabric->cq)
        fi_close(&fabric->cq->fid);
    if (fabric->av)
        fi_close(&fabric->av->fid);
    fabric->ep = NULL;
    fabric->cq = NULL;
    fabric->av = NULL;
    fabric->fd = -1;
}

int fabric_add(struct fabric *fabric, const void *name, fi_addr_t *address_p) {
    return fi_av_insert(fabric->av, name, 1, address_p, 0, NULL) == 1 ? 0 : -FI_EADDRNOTAVAIL;
}

/* The shared memory provider's names: "fi_shm://PID:USER:COUNT". */
void fabric_sweep(const struct fabric *fabric, const char name[FABRIC_NAME_MAX]) {
    static const char scheme[] = "fi_shm://";
    char object[64] = "/";
    if (fabric->info->addr_format != FI_ADDR_STR || strncmp(name, scheme, sizeof scheme - 1))
        return;
    const char *own = name + sizeof scheme - 1;
    const size_t length = strnlen(own, FABRIC_NAME_MAX - sizeof scheme);
    if (!length || length >= sizeof object - 1 || strspn(own, "0123456789:") != length)
        return;
    memcpy(object + 1, own, length);
    shm_unlink(object);
}

/* --- memory --- */

static bool wants(const struct fabric *fabric, int mode) {
    return fabric->info->domain_attr->mr_mode & mode;
}

int fabric_register(struct fabric *fabric, const void *memory, size_t bytes, uint64_t access,
                    struct fid_mr **region_p) {
    return fi_mr_reg(fabric->domain, memory, bytes, access, 0, ++fabric->key, 0, region_p, NULL);
}

int fabric_register_local(struct fabric *fabric, const void *memory, size_t bytes, uint64_t access,
                          struct fid_mr **region_p) {
    *region_p = NULL;
    return wants(fabric, FI_MR_LOCAL) ? fabric_register(fabric, memory, bytes, access, region_p)
                                      : 0;
}

void fabric_release(struct fid_mr **region) {
    if (*region)
        fi_close(&(*region)->fid);
    *region = NULL;
}

uint64_t fabric_target(const struct fabric *fabric, const void *memory) {
    return wants(fabric, FI_MR_VIRT_ADDR) ? (uint64_t)(uintptr_t)memory : 0;
}
