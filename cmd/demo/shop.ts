/** A small shop: products and orders that look like somebody's, and are the same every time. */
import type { Client } from 'pg';

interface Range {
  readonly category: string;
  readonly materials: readonly string[];
  readonly things: readonly string[];
  readonly notes: readonly string[];
  /** Of the cheapest and the dearest. */
  readonly price: readonly [number, number];
}

const looks = ['', 'Classic', 'Large', 'Small', 'Compact', 'Nordic', 'Everyday', 'Workshop', 'Travel', 'Heritage'];

const ranges: readonly Range[] = [
  { category: 'kitchen', materials: ['Copper', 'Enamel', 'Cast Iron', 'Stoneware', 'Steel', 'Olive Wood', 'Glass'], things: ['Kettle', 'Teapot', 'Saucepan', 'Mixing Bowl', 'Salad Bowl', 'Mortar', 'Butter Dish', 'Colander'], notes: ['Goes in the oven, not in the dishwasher.', 'Holds a litre and a half.', 'Made in a workshop of six people.'], price: [14, 140] },
  { category: 'lighting', materials: ['Brass', 'Opal Glass', 'Walnut', 'Black Steel', 'Ceramic', 'Rattan'], things: ['Desk Lamp', 'Floor Lamp', 'Pendant', 'Wall Light', 'Reading Light', 'Lantern'], notes: ['With a dimmer in the cord.', 'Takes any E27 bulb.', 'The shade turns in all directions.'], price: [29, 320] },
  { category: 'furniture', materials: ['Oak', 'Walnut', 'Ash', 'Birch', 'Beech', 'Cherry'], things: ['Writing Desk', 'Bookcase', 'Stool', 'Side Table', 'Bench', 'Armchair', 'Coat Rack'], notes: ['Oiled by hand, no varnish.', 'Comes flat, is put up in ten minutes.', 'Joined without screws.'], price: [69, 890] },
  { category: 'textiles', materials: ['Linen', 'Merino', 'Cotton', 'Alpaca', 'Hemp', 'Boiled Wool'], things: ['Throw', 'Cushion', 'Tea Towel', 'Apron', 'Curtain', 'Bath Towel', 'Table Runner'], notes: ['Washes at 40 degrees.', 'Woven on narrow looms.', 'Gets softer with every wash.'], price: [12, 180] },
  { category: 'garden', materials: ['Terracotta', 'Galvanised', 'Cedar', 'Willow', 'Forged Steel', 'Ash'], things: ['Planter', 'Watering Can', 'Trowel', 'Hand Fork', 'Trug', 'Bird Feeder', 'Pruning Saw'], notes: ['Stays outside all year.', 'With a leather loop to hang it by.', 'The rose comes off.'], price: [9, 120] },
  { category: 'stationery', materials: ['Leather', 'Linen', 'Recycled Paper', 'Cork', 'Brass', 'Birch'], things: ['Notebook', 'Pencil Case', 'Desk Tray', 'Letter Opener', 'Bookmark', 'Desk Calendar', 'Card Holder'], notes: ['Opens flat.', 'Sewn, not glued.', 'Takes A5 paper.'], price: [4, 70] },
  { category: 'cycling', materials: ['Waxed Canvas', 'Aluminium', 'Steel', 'Leather', 'Wool'], things: ['Saddle Bag', 'Front Rack', 'Bell', 'Mudguards', 'Bottle Cage', 'Handlebar Tape', 'Pannier'], notes: ['Fits tubes from 25 to 32 mm.', 'Dry through a whole day of rain.', 'Every part can be had as a spare.'], price: [8, 150] },
  { category: 'outdoors', materials: ['Titanium', 'Enamel', 'Waxed Canvas', 'Merino', 'Down'], things: ['Mug', 'Camp Stove', 'Tarp', 'Sleeping Bag', 'Hammock', 'Headband', 'Rucksack'], notes: ['Weighs less than you think.', 'Tested at ten below.', 'Packs into its own pocket.'], price: [11, 420] },
];

const firstNames = ['Ada', 'Bram', 'Chiara', 'Dmitri', 'Elif', 'Femi', 'Greta', 'Hugo', 'Ines', 'Jun', 'Karim', 'Lena', 'Mateo', 'Noor', 'Oskar', 'Priya', 'Quinn', 'Rosa', 'Sven', 'Tove'];
const lastNames = ['Andersen', 'Bianchi', 'Costa', 'Dubois', 'Eriksen', 'Fischer', 'García', 'Haddad', 'Ivanova', 'Jansen', 'Kowalski', 'Lindqvist', 'Moreau', 'Novák', 'Okafor', 'Patel', 'Rossi', 'Schmidt', 'Tanaka', 'Yılmaz'];
const cities = ['Aarhus', 'Bologna', 'Bruges', 'Cork', 'Gdańsk', 'Ghent', 'Graz', 'Leeds', 'Leipzig', 'Lyon', 'Malmö', 'Porto', 'Tartu', 'Turku', 'Utrecht', 'Valencia'];
const states = ['placed', 'packed', 'shipped', 'delivered', 'delivered', 'delivered', 'returned'];

const ORDERS = 2_000;
const FIRST_ORDER_MS = Date.UTC(2026, 0, 5);
const YEAR_MS = 300 * 24 * 3_600_000;

export interface Product {
  readonly id: number;
  readonly name: string;
  readonly category: string;
  readonly description: string;
  readonly price: string;
  readonly stock: number;
}

/** A small generator of pseudo-random numbers below `n`, the same in every run (Park and Miller's). */
function sequence(): (n: number) => number {
  let state = 20_261;
  return (n) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % n;
  };
}

export function makeProducts(): Product[] {
  const next = sequence();
  const products: Product[] = [];
  for (const look of looks) {
    for (const { category, materials, things, notes, price: [low, high] } of ranges) {
      for (const material of materials) {
        for (const thing of things) {
          const id = products.length + 1;
          const name = [look, material, thing].filter((word) => word !== '').join(' ');
          const description = `${thing} in ${material.toLowerCase()}. ${notes[next(notes.length)] ?? ''}`;
          products.push({ id, name, category, description, price: `${low + next(high - low)}.${next(2) === 0 ? '90' : '50'}`, stock: next(60) });
        }
      }
    }
  }
  return products;
}

function makeOrders(products: readonly Product[]): Record<string, unknown>[] {
  const next = sequence();
  return Array.from({ length: ORDERS }, (_, i) => {
    const lines = Array.from({ length: 1 + next(3) }, () => products[next(products.length)] as Product);
    const cents = lines.reduce((sum, { price }) => sum + Math.round(Number(price) * 100), 0);
    return {
      id: 10_001 + i,
      customer: `${firstNames[next(firstNames.length)] ?? ''} ${lastNames[next(lastNames.length)] ?? ''}`,
      city: cities[next(cities.length)],
      items: lines.map(({ name }) => name).join(', '),
      total: (cents / 100).toFixed(2),
      state: states[next(states.length)],
      placed_at: new Date(FIRST_ORDER_MS + Math.floor((YEAR_MS / ORDERS) * i)).toISOString(),
    };
  });
}

const tables = `
  CREATE TABLE products (id bigint PRIMARY KEY, name text NOT NULL, category text NOT NULL, description text NOT NULL, price numeric(10,2) NOT NULL, stock int NOT NULL);
  CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL, city text NOT NULL, items text NOT NULL, total numeric(10,2) NOT NULL, state text NOT NULL, placed_at timestamptz NOT NULL);
`;

/** Fills an empty database; returns how many rows each table has, as the database counts them. */
export async function seedShop(client: Client): Promise<{ readonly products: number; readonly orders: number }> {
  const products = makeProducts();
  await client.query('BEGIN');
  await client.query(tables);
  await client.query('INSERT INTO products SELECT * FROM json_populate_recordset(NULL::products, $1)', [JSON.stringify(products)]);
  await client.query('INSERT INTO orders SELECT * FROM json_populate_recordset(NULL::orders, $1)', [JSON.stringify(makeOrders(products))]);
  await client.query('COMMIT');
  await client.query('ANALYZE products, orders');
  const { rows } = await client.query<{ products: number; orders: number }>('SELECT (SELECT count(*)::int FROM products) AS products, (SELECT count(*)::int FROM orders) AS orders');
  return rows[0] ?? { products: 0, orders: 0 };
}
