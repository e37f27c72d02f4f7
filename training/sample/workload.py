"""The shop's normal sessions: what each application says to the database, routine errors included.

Owns the paths through the statements (`statements.py`), each bounded, so that every path comes often. Knows no
fault; the faults (`faults.py`) say the same statements at the wrong time, in the wrong order or in the wrong place.
"""

import time

from training.sample.client import Client, knock
from training.sample.lane import Lane, Script
from training.sample.schema import CATEGORIES, LANES, PRODUCTS_PER_LANE
from training.sample.statements import (
    ADD_ITEM,
    AUDIT_LOGIN,
    BEGIN,
    BEGIN_READ_ONLY,
    BEGIN_SNAPSHOT,
    COMMIT,
    COUNT_FAILURE,
    CUSTOMER_ORDERS,
    EXPORT_PAYMENTS,
    FIND_ACCOUNT,
    FIND_BY_PHONE,
    FIND_CUSTOMER,
    LIST_CATEGORIES,
    LIST_PRODUCTS,
    LOG_SYNC,
    MARK_PAID,
    NEW_ACCOUNT,
    NEW_CART,
    NEW_NOTE,
    NEW_ORDER,
    NEW_TOKEN,
    ORDER_HISTORY,
    ORDER_PAYMENTS,
    ORDERS_SINCE,
    PAY,
    PING,
    POPULARITY,
    POST_LEDGER,
    READ_LEDGER,
    READ_STOCK,
    REGISTER,
    REPORT_BY_CUSTOMER,
    REPORT_BY_MONTH,
    REPORT_TOP_ORDERS,
    RESERVE,
    ROLLBACK,
    SEARCH,
    SEARCH_HISTORY,
    SETTLE,
    SHOW_PRODUCT,
    TOUCH_LOGIN,
    UPSERT,
    VOUCHER,
)

HOLD_S = 0.16
"""Seconds that a lock is held while another session waits: longer than the server's `deadlock_timeout` (0.1 s, so
that the wait is logged) and shorter than its `log_min_duration_statement` (0.3 s, so that no duration is)."""


class Checkout:
    """A checkout, step by step, in one transaction; the caller says which steps and in which order."""

    def __init__(self, lane: Lane, client: Client) -> None:
        self._lane = lane
        self._client = client
        self._cart = 0
        self._order = 0
        self._customer = lane.customer()
        self.reference = lane.reference()

    def start(self) -> None:
        """Open the transaction, look the customer up, open a cart."""
        self._client.simple(BEGIN)
        self._client.bound(FIND_CUSTOMER, self._customer)
        self._cart = self._client.bound(NEW_CART, self._customer)[0][0]

    def pick(self, product: int | None = None) -> int:
        """Look at a product and put it into the cart; the product's id."""
        product = product or self._lane.product()
        self._client.bound(READ_STOCK, product)
        self._client.bound(ADD_ITEM, self._cart, product, self._lane.rng.randint(1, 4), self._lane.amount())
        return product

    def reserve(self, product: int) -> None:
        """Take a product out of the stock."""
        self._client.bound(RESERVE, self._lane.rng.randint(1, 4), product)

    def order(self) -> None:
        """Write the order."""
        values = (self.reference, self._customer, self._lane.number, self._lane.amount())
        self._order = self._client.bound(NEW_ORDER, *values)[0][0]

    def pay(self) -> None:
        """Write the payment."""
        self._client.bound(PAY, self._order, self._lane.number, self._lane.amount(), self._lane.method())

    def finish(self) -> None:
        """Mark the order as paid and commit."""
        self._client.bound(MARK_PAID, self._order)
        self._client.simple(COMMIT)

    def buy(self, items: int) -> None:
        """The whole of a normal checkout with ``items`` different products."""
        self.start()
        self.fill(items)
        self.order()
        self.pay()
        self.finish()

    def fill(self, items: int) -> None:
        """Pick and reserve ``items`` products, one after the other."""
        for _ in range(items):
            self.reserve(self.pick())


def checkout(items: int) -> Script:
    """A checkout that goes well."""

    def script(lane: Lane) -> None:
        with lane.open("shop_web", "checkout") as client:
            client.simple(PING)
            Checkout(lane, client).buy(items)

    return script


def checkout_with_voucher(lane: Lane) -> None:
    """A checkout that first asks whether the customer has earned a voucher."""
    with lane.open("shop_web", "checkout") as client:
        client.simple(PING)
        client.bound(VOUCHER, lane.customer())
        Checkout(lane, client).buy(2)


def checkout_sent_twice(items: int) -> Script:
    """Routine error: the order number is taken (an impatient double click); the shop starts over with a new one."""

    def script(lane: Lane) -> None:
        with lane.open("shop_web", "checkout") as client:
            client.simple(PING)
            first = Checkout(lane, client)
            first.start()
            first.fill(items)
            client.refused(NEW_ORDER, f"OLD-{lane.customer()}", lane.customer(), 0, 10, bound=True)
            client.simple(ROLLBACK)
            Checkout(lane, client).buy(items)

    return script


def checkout_waits(lane: Lane) -> None:
    """Routine lock wait: two checkouts want the same product, the second waits for the first."""
    product, _ = lane.hot_products()
    with lane.open("shop_web", "checkout") as holder, lane.open("shop_web", "checkout") as waiter:
        for client in (holder, waiter):
            client.simple(PING)
        first, second = Checkout(lane, holder), Checkout(lane, waiter)
        first.start()
        second.start()
        first.reserve(first.pick(product))
        second.pick(product)
        for client in (holder, waiter):
            client.hurry()
        waiting = waiter.meanwhile(RESERVE, lane.rng.randint(1, 4), product)
        time.sleep(HOLD_S)
        for sale in (first, second):
            sale.order()
            sale.pay()
            sale.finish()
            waiting.result()


def browse(pages: int, details: int) -> Script:
    """A visitor looks around."""

    def script(lane: Lane) -> None:
        with lane.open("shop_web", "catalogue") as client:
            client.simple(LIST_CATEGORIES)
            for page in range(pages):
                client.bound(LIST_PRODUCTS, lane.rng.randint(1, CATEGORIES), 24 * page)
            for _ in range(details):
                product = lane.product()
                client.bound(SHOW_PRODUCT, product)
                client.bound(POPULARITY, product)

    return script


def search(details: int) -> Script:
    """A visitor searches by name."""

    def script(lane: Lane) -> None:
        with lane.open("shop_web", "catalogue") as client:
            client.simple(SEARCH, f"%{lane.word()}%")
            for _ in range(details):
                client.bound(SHOW_PRODUCT, lane.product())

    return script


def crawl(lane: Lane) -> None:
    """Routine error: a crawler asks for a product whose number is no number."""
    with lane.open("shop_web", "catalogue") as client:
        client.simple(LIST_CATEGORIES)
        client.refused(SHOW_PRODUCT.replace("%s", "%s::int"), f"{lane.product()}x")
        client.bound(SHOW_PRODUCT, lane.product())


def search_given_up(lane: Lane) -> None:
    """Routine error: a slow search, cancelled when the visitor leaves the page."""
    with lane.open("shop_web", "catalogue") as client:
        client.simple(SEARCH, f"%{lane.word()}%")
        running = client.meanwhile(SEARCH_HISTORY, f"(a|b)+.*{lane.word()}$")
        time.sleep(lane.pause_s * 2 + 0.1)
        client.cancel()
        running.result()
        client.simple(LIST_CATEGORIES)


def visitor_lost(lane: Lane) -> None:
    """Routine: the client goes away in the middle of a read-only transaction without disconnecting."""
    with lane.open("shop_web", "catalogue") as client:
        client.simple(BEGIN_READ_ONLY)
        client.simple(LIST_CATEGORIES)
        client.bound(LIST_PRODUCTS, lane.rng.randint(1, CATEGORIES), 0)
        client.drop()


def login(history: bool) -> Script:
    """A customer logs in and perhaps looks at old orders."""

    def script(lane: Lane) -> None:
        with lane.open("shop_auth", "account") as client:
            log_in(lane, client)
            if history:
                client.bound(ORDER_HISTORY, lane.customer())

    return script


def log_in(lane: Lane, client: Client) -> None:
    """The statements of a login that succeeds."""
    customer = lane.customer()
    client.bound(FIND_ACCOUNT, f"customer{customer}@example.com")
    client.simple(BEGIN)
    client.bound(AUDIT_LOGIN, customer, True)
    client.bound(TOUCH_LOGIN, customer)
    client.bound(NEW_TOKEN, f"{lane.rng.getrandbits(96):024x}", customer)
    client.simple(COMMIT)


def login_refused(lane: Lane) -> None:
    """A customer mistypes the shop password once."""
    customer = lane.customer()
    with lane.open("shop_auth", "account") as client:
        client.bound(FIND_ACCOUNT, f"customer{customer}@example.com")
        client.simple(BEGIN)
        client.bound(AUDIT_LOGIN, customer, False)
        client.bound(COUNT_FAILURE, customer)
        client.simple(COMMIT)
        log_in(lane, client)


def register(taken: bool) -> Script:
    """A new customer; routine error where the address is ``taken``: rolled back, and the customer logs in."""

    def script(lane: Lane) -> None:
        with lane.open("shop_auth", "account") as client:
            client.simple(BEGIN)
            if taken:
                client.refused(REGISTER, f"customer{lane.customer()}@example.com", lane.name(), "555-0", bound=True)
                client.simple(ROLLBACK)
                log_in(lane, client)
                return
            mail = f"{lane.name().replace(' ', '.').lower()}{lane.serial}@example.com"
            customer = client.bound(REGISTER, mail, lane.name(), f"555-{lane.rng.randrange(10**6)}")[0][0]
            client.bound(NEW_ACCOUNT, customer, f"{lane.rng.getrandbits(128):032x}")
            client.simple(COMMIT)

    return script


def old_password(lane: Lane) -> None:
    """Routine FATAL: a client starts with last month's database password, then with the right one."""
    knock(lane.host, "shop_auth", "account")
    login(history=False)(lane)


def batch(lane: Lane) -> list[object]:
    """Values for ``UPSERT``: three products."""
    products = sorted(lane.rng.sample(range(1, PRODUCTS_PER_LANE + 1), 3))
    rows: list[object] = []
    for product in products:
        number = lane.number * PRODUCTS_PER_LANE + product
        rows += [number, 1 + number % CATEGORIES, f"product {number}", lane.amount(), 10**6]
    return rows


def stock_sync(batches: int) -> Script:
    """A supplier's stock list comes in."""

    def script(lane: Lane) -> None:
        with lane.open("shop_stock", "stock_sync") as client:
            client.simple(BEGIN)
            for _ in range(batches):
                client.simple(UPSERT, *batch(lane))
            client.bound(LOG_SYNC, lane.name(), 3 * batches)
            client.simple(COMMIT)

    return script


def stock_sync_corrected(lane: Lane) -> None:
    """Routine error: a list with a negative stock breaks a constraint; its batch is undone, the next one counts."""
    with lane.open("shop_stock", "stock_sync") as client:
        client.simple(BEGIN)
        client.simple(UPSERT, *batch(lane))
        client.simple("SAVEPOINT line")
        client.refused(UPSERT, *batch(lane)[:-1], -lane.rng.randint(1, 9))
        client.simple("ROLLBACK TO SAVEPOINT line")
        client.simple(UPSERT, *batch(lane))
        client.bound(LOG_SYNC, lane.name(), 6)
        client.simple(COMMIT)


def report(parts: int) -> Script:
    """The nightly figures: slow statements (a duration each) and sorts that go to disk (a temporary file)."""

    def script(lane: Lane) -> None:
        with lane.open("shop_report", "report") as client:
            client.simple(BEGIN_READ_ONLY)
            client.simple(REPORT_BY_MONTH, f"2024-{lane.rng.randint(1, 3):02d}-01")
            if parts > 1:
                client.simple(REPORT_TOP_ORDERS, "2024-03-01", f"2024-09-{lane.rng.randint(10, 28)}")
            if parts > 2:
                client.simple(REPORT_BY_CUSTOMER, f"2024-{lane.rng.randint(1, 3):02d}-01")
            client.simple(COMMIT)

    return script


def report_timed_out(lane: Lane) -> None:
    """Routine error: a report runs into its own time limit and is run again with a later start."""
    with lane.open("shop_report", "report") as client:
        client.simple("SET statement_timeout = '200ms'")
        client.refused(REPORT_BY_MONTH, "2024-01-01")
        client.simple("SET statement_timeout = '60s'")
        client.simple(BEGIN_READ_ONLY)
        client.simple(REPORT_BY_MONTH, f"2024-{lane.rng.randint(1, 3):02d}-01")
        client.simple(COMMIT)


def support(orders: int, note: bool) -> Script:
    """The support desk looks a caller up and perhaps leaves a note."""

    def script(lane: Lane) -> None:
        with lane.open("shop_support", "support") as client:
            look_up(lane, client, orders)
            if note:
                client.simple(NEW_NOTE, lane.customer(), lane.name(), f"asked about the {lane.word()}")

    return script


def look_up(lane: Lane, client: Client, orders: int) -> None:
    """The support desk's usual look at a customer and some orders."""
    client.simple(FIND_BY_PHONE, f"555-{lane.customer():05d}")
    client.bound(CUSTOMER_ORDERS, lane.customer())
    for _ in range(orders):
        client.bound(ORDER_PAYMENTS, lane.customer())


def support_mistyped(lane: Lane) -> None:
    """Routine error: the support desk types a date that is none, then a proper one."""
    with lane.open("shop_support", "support") as client:
        client.simple(FIND_BY_PHONE, f"555-{lane.customer():05d}")
        client.refused(ORDERS_SINCE, lane.customer(), f"{lane.rng.randint(40, 99)}.13.2025")
        client.simple(ORDERS_SINCE, lane.customer(), f"2025-{lane.rng.randint(1, 12):02d}-01")


def reconcile(rounds: int) -> Script:
    """Payments are exported and settled, merchant by merchant."""

    def script(lane: Lane) -> None:
        with lane.open("shop_payments", "payments_recon") as client:
            for merchant in range(lane.number, lane.number + rounds * LANES, LANES):
                client.simple(BEGIN_SNAPSHOT)
                settle(lane, client, merchant)

    return script


def settle(lane: Lane, client: Client, merchant: int) -> None:
    """Export one merchant's open payments, settle them, post the sum and commit."""
    client.bound(EXPORT_PAYMENTS, merchant)
    client.bound(READ_LEDGER, merchant)
    client.bound(SETTLE, merchant)
    client.bound(POST_LEDGER, lane.rng.randint(1, 50), lane.amount(), merchant)
    client.simple(COMMIT)


def reconcile_again(lane: Lane) -> None:
    """Routine error: two runs meet on one merchant; the later one cannot be serialized and runs again."""
    merchant = lane.number
    with (
        lane.open("shop_payments", "payments_recon") as late,
        lane.open("shop_payments", "payments_recon") as early,
    ):
        late.simple(BEGIN_SNAPSHOT)
        late.bound(EXPORT_PAYMENTS, merchant)
        late.bound(READ_LEDGER, merchant)
        early.simple(BEGIN_SNAPSHOT)
        settle(lane, early, merchant)
        late.refused(POST_LEDGER, lane.rng.randint(1, 50), lane.amount(), merchant, bound=True)
        late.simple(ROLLBACK)
        late.simple(BEGIN_SNAPSHOT)
        settle(lane, late, merchant)


def maintain(lane: Lane) -> None:
    """Housekeeping of some tables."""
    with lane.open("shop_owner", "maintenance") as client:
        for table in ("cart_items", "login_audit"):
            client.simple(f"VACUUM (ANALYZE) {table}")
        client.simple("DELETE FROM session_tokens WHERE expires_at < now()")
        client.simple("ANALYZE session_tokens")


def migrate(lane: Lane) -> None:
    """Routine error: a migration that has been applied is tried on every deployment."""
    with lane.open("shop_owner", "migration") as client:
        client.simple("SELECT version FROM schema_migrations ORDER BY version")
        client.refused("CREATE TABLE schema_migrations (version text PRIMARY KEY, applied_at timestamptz NOT NULL)")
        client.simple("ANALYZE orders")


NORMAL: tuple[tuple[Script, int], ...] = (
    (checkout(1), 6),
    (checkout(2), 6),
    (checkout(3), 4),
    (checkout(4), 2),
    (checkout_with_voucher, 2),
    (checkout_sent_twice(1), 2),
    (checkout_sent_twice(2), 2),
    (checkout_waits, 1),
    (browse(1, 1), 4),
    (browse(2, 1), 4),
    (browse(2, 2), 3),
    (browse(3, 2), 2),
    (search(1), 2),
    (search(2), 2),
    (crawl, 3),
    (search_given_up, 2),
    (visitor_lost, 2),
    (login(history=False), 5),
    (login(history=True), 4),
    (login_refused, 2),
    (register(taken=False), 2),
    (register(taken=True), 3),
    (old_password, 2),
    (stock_sync(2), 3),
    (stock_sync(3), 2),
    (stock_sync_corrected, 2),
    (report(1), 2),
    (report(2), 1),
    (report(3), 1),
    (report_timed_out, 2),
    (support(1, note=False), 3),
    (support(1, note=True), 2),
    (support(2, note=False), 2),
    (support(2, note=True), 2),
    (support_mistyped, 3),
    (reconcile(1), 2),
    (reconcile(2), 2),
    (reconcile_again, 1),
    (maintain, 1),
    (migrate, 1),
)
"""Every normal script and how often it comes in a block; each block holds the same ones in another order."""
