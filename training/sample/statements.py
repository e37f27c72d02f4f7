"""What the shop says to its database: the statements, shared by the normal sessions and the faults.

Owns the texts alone; when and with which values they are said is `workload.py`'s and `faults.py`'s business.
"""

FIND_CUSTOMER = "SELECT id, email, name FROM customers WHERE id = %s"
NEW_CART = "INSERT INTO carts (customer_id) VALUES (%s) RETURNING id"
READ_STOCK = "SELECT id, price, stock FROM products WHERE id = %s"
ADD_ITEM = """INSERT INTO cart_items (cart_id, product_id, quantity, price)
VALUES (%s, %s, %s, %s)"""
RESERVE = "UPDATE products SET stock = stock - %s WHERE id = %s"
NEW_ORDER = """INSERT INTO orders
    (reference, customer_id, merchant_id, total)
VALUES (%s, %s, %s, %s)
RETURNING id"""
PAY = "INSERT INTO payments (order_id, merchant_id, amount, method) VALUES (%s, %s, %s, %s)"
MARK_PAID = "UPDATE orders SET status = 'paid' WHERE id = %s"
VOUCHER = "SELECT count(*) FROM orders WHERE customer_id = %s AND status = 'paid'"

LIST_CATEGORIES = "SELECT id, name FROM categories ORDER BY name"
LIST_PRODUCTS = """SELECT p.id, p.name, p.price
FROM products p
WHERE p.category_id = %s
ORDER BY p.price
LIMIT 24 OFFSET %s"""
SHOW_PRODUCT = """SELECT p.*, c.name AS category
FROM products p
JOIN categories c ON c.id = p.category_id
WHERE p.id = %s"""
POPULARITY = (
    "SELECT count(*), max(remark) FILTER (WHERE remark ~* '(f+|0)e.*[ab]d.*7') FROM order_archive WHERE product_id = %s"
)
SEARCH = "SELECT id, name, price FROM products WHERE name ILIKE %s ORDER BY name LIMIT 24"
SEARCH_HISTORY = "SELECT id FROM order_archive WHERE remark ~* %s ORDER BY placed_on DESC LIMIT 50"

FIND_ACCOUNT = """SELECT c.id, a.password_hash, a.failed_logins
FROM customers c
JOIN accounts a ON a.customer_id = c.id
WHERE c.email = %s"""
AUDIT_LOGIN = "INSERT INTO login_audit (customer_id, succeeded) VALUES (%s, %s)"
TOUCH_LOGIN = "UPDATE accounts SET last_login = now(), failed_logins = 0 WHERE customer_id = %s"
COUNT_FAILURE = "UPDATE accounts SET failed_logins = failed_logins + 1 WHERE customer_id = %s"
NEW_TOKEN = "INSERT INTO session_tokens (token, customer_id, expires_at) VALUES (%s, %s, now() + interval '8 hours')"
REGISTER = "INSERT INTO customers (email, name, phone) VALUES (%s, %s, %s) RETURNING id"
NEW_ACCOUNT = "INSERT INTO accounts (customer_id, password_hash) VALUES (%s, %s)"
ORDER_HISTORY = (
    "SELECT count(*), sum(amount), max(placed_on) FILTER (WHERE remark ~* '(f+|0)e.*[ab]d.*7')"
    " FROM order_archive WHERE customer_id = %s"
)

UPSERT = """INSERT INTO products (id, category_id, name, price, stock)
VALUES
    (%s, %s, %s, %s, %s),
    (%s, %s, %s, %s, %s),
    (%s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE
    SET price = excluded.price, stock = excluded.stock"""
LOG_SYNC = "INSERT INTO stock_log (supplier, rows) VALUES (%s, %s)"

REPORT_BY_MONTH = """SELECT date_trunc('month', placed_on) AS month,
       count(*) AS orders,
       sum(amount) AS revenue,
       count(*) FILTER (WHERE remark ~* '[ab]d.*f+e') AS gifts
FROM order_archive
WHERE placed_on >= %s
GROUP BY 1
ORDER BY 1"""
REPORT_TOP_ORDERS = """SELECT id, customer_id, amount, remark
FROM order_archive
WHERE placed_on BETWEEN %s AND %s
ORDER BY md5(remark || 'salt'), amount DESC
OFFSET 100"""
REPORT_BY_CUSTOMER = """SELECT customer_id, sum(amount) AS revenue,
       count(*) FILTER (WHERE remark ~* '[cd]e.*a+b') AS returns
FROM order_archive
WHERE placed_on >= %s
GROUP BY customer_id
HAVING sum(amount) > 500"""

FIND_BY_PHONE = "SELECT id, email, name FROM customers WHERE phone = %s"
CUSTOMER_ORDERS = """SELECT o.id, o.reference, o.total, o.status
FROM orders o
WHERE o.customer_id = %s
ORDER BY o.placed_at DESC
LIMIT 10"""
ORDER_PAYMENTS = "SELECT id, amount, method, settled_at FROM payments WHERE order_id = %s"
ORDERS_SINCE = "SELECT id, reference, total FROM orders WHERE customer_id = %s AND placed_at >= %s"
NEW_NOTE = "INSERT INTO support_notes (order_id, author, body) VALUES (%s, %s, %s)"

EXPORT_PAYMENTS = """SELECT p.id, p.order_id, p.amount, p.method, o.reference
FROM payments p
JOIN orders o ON o.id = p.order_id
WHERE p.merchant_id = %s AND p.settled_at IS NULL
ORDER BY p.id
LIMIT 50"""
READ_LEDGER = "SELECT payments, amount FROM ledger WHERE merchant_id = %s"
SETTLE = "UPDATE payments SET settled_at = now() WHERE merchant_id = %s AND settled_at IS NULL"
POST_LEDGER = "UPDATE ledger SET payments = payments + %s, amount = amount + %s WHERE merchant_id = %s"

BEGIN = "BEGIN"
BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"
BEGIN_READ_ONLY = "BEGIN READ ONLY"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
PING = "SELECT 1"
