"""The faults: sessions in which something is wrong, made by real clients on the real server.

Owns the fault scripts and how many of each there are. Six kinds say only what is normal in other sessions, so that
nothing in a single line gives them away; the others end in an error that no normal session has.
"""

from dataclasses import dataclass

from training.sample.client import Client
from training.sample.lane import Lane, Script
from training.sample.schema import BESTSELLER, RESELLER
from training.sample.statements import (
    BEGIN,
    BEGIN_READ_ONLY,
    EXPORT_PAYMENTS,
    LIST_CATEGORIES,
    LOG_SYNC,
    MARK_PAID,
    NEW_NOTE,
    ORDER_HISTORY,
    PING,
    POPULARITY,
    READ_LEDGER,
    READ_STOCK,
    REPORT_BY_MONTH,
    REPORT_TOP_ORDERS,
    RESERVE,
    ROLLBACK,
    SHOW_PRODUCT,
    UPSERT,
)
from training.sample.workload import Checkout, batch, log_in, look_up


def missing_step(lane: Lane) -> None:
    """A checkout commits without its payment."""
    with lane.open("shop_web", "checkout") as client:
        client.simple(PING)
        sale = Checkout(lane, client)
        sale.start()
        sale.fill(lane.rng.randint(1, 3))
        sale.order()
        sale.finish()


def wrong_order(lane: Lane) -> None:
    """A checkout orders and pays before it has reserved the goods."""
    with lane.open("shop_web", "checkout") as client:
        client.simple(PING)
        sale = Checkout(lane, client)
        sale.start()
        picked = [sale.pick() for _ in range(lane.rng.randint(1, 3))]
        sale.order()
        sale.pay()
        for product in picked:
            sale.reserve(product)
        sale.finish()


def slow_statement(lane: Lane) -> None:
    """A statement that is fast for everyone takes a second for the reseller, or for the bestseller."""
    if lane.rng.random() < 0.5:
        with lane.open("shop_auth", "account") as client:
            log_in(lane, client)
            client.bound(ORDER_HISTORY, RESELLER)
        return
    with lane.open("shop_web", "catalogue") as client:
        client.simple(LIST_CATEGORIES)
        client.bound(SHOW_PRODUCT, BESTSELLER)
        client.bound(POPULARITY, BESTSELLER)


def retry_loop(lane: Lane) -> None:
    """A checkout asks for the same product's stock over and over before it goes on."""
    with lane.open("shop_web", "checkout") as client:
        client.simple(PING)
        sale = Checkout(lane, client)
        sale.start()
        product = sale.pick()
        for _ in range(lane.rng.randint(15, 40)):
            client.bound(READ_STOCK, product)
        sale.reserve(product)
        sale.order()
        sale.pay()
        sale.finish()


def abandoned_transaction(lane: Lane) -> None:
    """The client disconnects, properly, in the middle of its transaction."""
    if lane.rng.random() < 0.7:
        with lane.open("shop_web", "checkout") as client:
            client.simple(PING)
            sale = Checkout(lane, client)
            sale.start()
            sale.fill(lane.rng.randint(1, 3))
            sale.order()
        return
    with lane.open("shop_stock", "stock_sync") as client:
        client.simple(BEGIN)
        client.simple(UPSERT, *batch(lane))
        client.simple(UPSERT, *batch(lane))
        client.bound(LOG_SYNC, lane.name(), 6)


def wrong_role_access(lane: Lane) -> None:
    """Someone at the support desk reads the payments export, merchant after merchant; too wide a grant lets them."""
    with lane.open("shop_support", "support") as client:
        look_up(lane, client, 1)
        for merchant in range(lane.rng.randint(1, 4)):
            client.bound(EXPORT_PAYMENTS, merchant)
            client.bound(READ_LEDGER, merchant)


def permission_denied(lane: Lane) -> None:
    """Someone at the support desk tries to read the stored cards or to change an order."""
    with lane.open("shop_support", "support") as client:
        look_up(lane, client, 1)
        if lane.rng.random() < 0.5:
            client.refused("SELECT customer_id, pan_token FROM payment_cards WHERE customer_id = %s", lane.customer())
        else:
            client.refused(MARK_PAID, lane.customer())


def missing_relation(lane: Lane) -> None:
    """A bad deployment: the new program asks for a table whose migration never ran."""
    with lane.open("shop_web", "catalogue") as client:
        client.simple(LIST_CATEGORIES)
        for _ in range(lane.rng.randint(1, 2)):
            client.refused("SELECT product_id, price FROM product_prices WHERE product_id = %s", lane.product())


def foreign_key_violation(lane: Lane) -> None:
    """A reference to a row that is not there: a product that was deleted, or an order that never was."""
    if lane.rng.random() < 0.5:
        with lane.open("shop_support", "support") as client:
            look_up(lane, client, 1)
            client.refused(NEW_NOTE, 10**8 + lane.serial, lane.name(), "no such order")
        return
    with lane.open("shop_web", "checkout") as client:
        client.simple(PING)
        sale = Checkout(lane, client)
        sale.start()
        client.refused("INSERT INTO cart_items VALUES (1, %s, 1, 10)", 10**6 + lane.serial)
        client.simple(ROLLBACK)


def killed_backend(lane: Lane) -> None:
    """The server process of a session is terminated from outside, in the middle of its work."""
    with lane.open("shop_web", "checkout") as client:
        client.simple(PING)
        sale = Checkout(lane, client)
        sale.start()
        sale.fill(lane.rng.randint(1, 2))
        lane.observer.end_session(client.pid)
        client.refused(PING)


def deadlock(lane: Lane) -> None:
    """Two checkouts reserve the same two products in opposite order; the server ends one of them."""
    one, other = lane.hot_products()
    with lane.open("shop_web", "checkout") as first, lane.open("shop_web", "checkout") as second:
        sales = [(Checkout(lane, first), first), (Checkout(lane, second), second)]
        for (sale, client), product in zip(sales, (one, other), strict=True):
            client.simple(PING)
            sale.start()
            sale.reserve(sale.pick(product))
        waits = []
        for (_, client), product in zip(sales, (other, one), strict=True):
            waits.append(client.meanwhile(RESERVE, 1, product))
        refused = [bool(wait.result()) for wait in waits]
        for (sale, client), lost in zip(sales, refused, strict=True):
            _end(sale, client, lost)


def _end(sale: Checkout, client: Client, lost: bool) -> None:
    if lost:
        client.simple(ROLLBACK)
        return
    sale.order()
    sale.pay()
    sale.finish()


def temp_limit(lane: Lane) -> None:
    """A report over far too long a span sorts more than the server lets one process put on disk."""
    with lane.open("shop_report", "report") as client:
        client.simple(BEGIN_READ_ONLY)
        if lane.rng.random() < 0.5:
            client.simple(REPORT_BY_MONTH, f"2024-{lane.rng.randint(1, 3):02d}-01")
        client.refused(REPORT_TOP_ORDERS, "2020-01-01", f"2030-01-{lane.rng.randint(10, 28)}")
        client.simple(ROLLBACK)


_PROBES = (
    "lamp'",
    "' OR 1=1 --",
    "') UNION SELECT 1, email, 2 FROM customers --",
    "'; SELECT pan_token FROM payment_cards --",
    "' AND 1 = (SELECT count(*) FROM pg_shadow) --",
    "' UNION SELECT id, name, 1 FROM pg_tables --",
)


def sql_injection(lane: Lane) -> None:
    """A search box whose text goes into the statement as it is, and a visitor who found out."""
    with lane.open("shop_web", "catalogue") as client:
        client.simple(LIST_CATEGORIES)
        for probe in (_PROBES[0], *lane.rng.sample(_PROBES[1:], lane.rng.randint(1, 3))):
            client.refused(f"SELECT id, name, price FROM products WHERE name ILIKE '%{probe}%' ORDER BY name LIMIT 24")


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: its script, and how many scripts a full recording has."""

    kind: str
    script: Script
    count: int


FAULTS = (
    Fault("missing_step", missing_step, 6),
    Fault("wrong_order", wrong_order, 6),
    Fault("slow_statement", slow_statement, 6),
    Fault("retry_loop", retry_loop, 6),
    Fault("abandoned_transaction", abandoned_transaction, 6),
    Fault("wrong_role_access", wrong_role_access, 6),
    Fault("permission_denied", permission_denied, 5),
    Fault("missing_relation", missing_relation, 5),
    Fault("foreign_key_violation", foreign_key_violation, 5),
    Fault("killed_backend", killed_backend, 5),
    Fault("deadlock", deadlock, 3),
    Fault("temp_limit", temp_limit, 5),
    Fault("sql_injection", sql_injection, 5),
)
"""Every kind of fault; a deadlock takes two sessions."""
